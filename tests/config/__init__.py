"""Settings, logs and gunicorn's configuration."""
