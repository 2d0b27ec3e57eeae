"""What is read from outside: settings, logs, gunicorn's configuration."""
