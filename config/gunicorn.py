"""gunicorn's settings, from ours; each name is one of gunicorn's, https://docs.gunicorn.org."""

from gevent import monkey

monkey.patch_all()

import atexit  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
from typing import Any  # noqa: E402

# Blocked until their handlers exist: the kernel drops unhandled signals to a container's first
# process. https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
_STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)

from config.bind import gunicorn_addresses  # noqa: E402
from config.logging import WithoutRequests, configure, guard_hub_errors  # noqa: E402
from config.runtime_dirs import metrics_directory, runtime_dir  # noqa: E402
from config.settings import WebSettings, load_or_exit  # noqa: E402

_settings = load_or_exit(WebSettings)
configure(_settings.log_level)

bind = gunicorn_addresses(_settings.bind, _settings.port)
workers = _settings.web_concurrency
worker_class = "app.web.server.RelayWorker"

# imported once, and shared by the processes that are forked: sooner ready, and less memory. A
# reload (SIGHUP) takes no new code, tokens or secrets: these come with a new container
preload_app = True


def when_ready(_arbiter: Any) -> None:
    """Unblock stop signals: their handlers exist, and processes are forked after this."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def on_reload(_arbiter: Any) -> None:
    """Unblock stop signals again: a reload runs this file, which blocks them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def post_fork(arbiter: Any, worker: Any) -> None:
    """Keep the queue of signals that arrive before the process has handlers of its own."""
    worker.early_signals = arbiter.SIG_QUEUE


def post_worker_init(worker: Any) -> None:
    """Stop where a stop signal arrived early: gunicorn would forget it, and kill in the end.

    https://github.com/benoitc/gunicorn/issues/1910
    """
    guard_hub_errors()
    while not worker.early_signals.empty():
        if worker.early_signals.get() in _STOPS:
            worker.alive = False


# per process; an idle one takes 13 KB. For one more, the one that is idle longest is ended
worker_connections = 4096

# above the idle time of load balancers (60 s as a rule): else they send on a closing connection
keepalive = 75

# above the longest Prefer: wait, so that a stop lets it end
graceful_timeout = 35

# a process whose loop stands still for so long is replaced
timeout = 60

# on by default at one path per user, where a second gunicorn clashes with the first
control_socket_disable = True

# the heartbeat is a file: on a slow disk it blocks the process; and /tmp may be such a disk
worker_tmp_dir = runtime_dir()

# no peer is trusted to say where the application lives: SCRIPT_NAME from one ends in a 500
forwarded_allow_ips = ""

# kept when a process is replaced, so that no counter goes back. Read by prometheus-client
os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_directory()


_master = os.getpid()


@atexit.register
def remove_metrics() -> None:
    """Take the metrics' files away with the master, also where it does not come to serve."""
    if os.getpid() == _master:
        shutil.rmtree(metrics_directory(), ignore_errors=True)


# no log of its own: the app writes one line a request, and messages go where all others go
accesslog = None
errorlog = None
loglevel = _settings.log_level.lower()
_messages = logging.getLogger("gunicorn.error")
_messages.handlers = logging.getLogger().handlers  # it does not propagate
_messages.addFilter(WithoutRequests())
