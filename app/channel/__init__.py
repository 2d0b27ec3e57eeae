"""Client of Channel.io: one request, one deadline, one outcome.

Other parts use ``client`` alone. This package imports ``app.chats``, ``config.proxy_url`` and
``requests``.
"""
