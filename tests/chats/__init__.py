"""Tests of ``app/chats``."""
