"""Settings, logs and gunicorn's configuration: a leaf, which imports nothing of ``app``."""
