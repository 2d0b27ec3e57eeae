"""The operator's pages: HTML that the server renders, under ``/operate``.

``app.bootstrap.web`` registers them where ``OPERATE_TOKENS`` is set. They work without JavaScript,
and their policy forbids it.
"""
