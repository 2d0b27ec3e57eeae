"""What gunicorn serves: ``gunicorn --config config/gunicorn.py app.wsgi:application``."""

import os

from app import bootstrap
from config.settings import WebSettings, load_or_exit

application = bootstrap.web(load_or_exit(WebSettings, os.environ))
