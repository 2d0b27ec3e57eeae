"""The worker: ``python -m app.worker``."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402

# Until their handlers exist: the first process of a container never receives one before that.
# https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
signal.pthread_sigmask(
    signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
)
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, signal.SIG_IGN)

# prometheus-client reads them when it is imported, and would count into files there.
for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
    os.environ.pop(name, None)

from app.bootstrap.worker import build_worker  # noqa: E402
from config.logging import configure  # noqa: E402
from config.settings import WorkerSettings, load_or_exit  # noqa: E402

if __name__ == "__main__":
    settings = load_or_exit(WorkerSettings, os.environ)
    configure(settings.log_level)
    sys.exit(build_worker(settings).run())
