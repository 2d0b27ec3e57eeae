"""Proxy between clients and a Redis, in its own process, with faults set by tests.

``process.py`` starts and controls it; ``proxy.py`` passes the bytes, and has the faults.
"""

from tools.stack.redis_proxy.process import RedisProxy
from tools.stack.redis_proxy.proxy import Mode

__all__ = ["Mode", "RedisProxy"]
