"""A proxy between clients and a Redis, in a process of its own, that fails as tests want.

``process.py`` starts and controls it; ``proxy.py`` passes the bytes, and names the faults.
"""

from tools.stack.redis_proxy.process import RedisProxy
from tools.stack.redis_proxy.proxy import Mode

__all__ = ["Mode", "RedisProxy"]
