"""Client of Channel.io: one task, one deadline, one outcome.

Other parts use ``client`` and ``tasks`` alone. This package imports ``app.chats``,
``config.proxy_url`` and ``requests``.
"""
