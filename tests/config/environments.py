"""Environments that the processes start with; tests change one thing in them."""

SECRET = "swordfish-0123456789"

WEB = {
    "REDIS_URL": f"redis://:{SECRET}@redis.internal:6379/0",
    "SUBMIT_TOKENS": f"orders:{SECRET}",
    "READ_TOKENS": f"crm:{SECRET}-2",
}
WORKER = {
    "REDIS_URL": f"redis://:{SECRET}@redis.internal:6379/0",
    "CHANNEL_ACCESS_KEY": f"{SECRET}-key",
    "CHANNEL_ACCESS_SECRET": f"{SECRET}-secret",
}
