"""The application of gunicorn, by ``--config config/gunicorn.py app.wsgi:application``."""

import os

from app.bootstrap.web import build_web
from config.settings import WebSettings, load_or_exit

application = build_web(load_or_exit(WebSettings, os.environ))
