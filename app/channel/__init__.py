"""The one seam to Channel.io: one call, one deadline, one outcome.

``client`` is what others use. It knows ``app.chats``, ``config.proxy_url`` and ``requests``, and
nothing else of ours.
"""
