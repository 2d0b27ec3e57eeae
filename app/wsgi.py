"""The application of gunicorn, by ``--config config/gunicorn.py app.wsgi:application``."""

import os

from app.bootstrap.web import web
from config.settings import WebSettings, load_or_exit

application = web(load_or_exit(WebSettings, os.environ))
