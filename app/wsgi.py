"""What gunicorn serves: ``gunicorn --config config/gunicorn.py app.wsgi:application``."""

import gc
import os

gc.disable()  # nothing that a start makes is garbage: docs/decisions/0013-what-made-it-fast.md

from app.bootstrap.web import web  # noqa: E402
from config.settings import WebSettings, load_or_exit  # noqa: E402

application = web(load_or_exit(WebSettings, os.environ))
gc.freeze()
gc.enable()
