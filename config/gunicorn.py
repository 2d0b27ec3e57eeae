"""gunicorn's settings, from ours; each name is one of gunicorn's, https://docs.gunicorn.org."""

import atexit
import gc
import logging
import os
import shutil
import signal
import sys
from typing import Any

gc.disable()  # hardly anything of a start is garbage: docs/decisions/0013-what-made-it-fast.md

# Until gunicorn listens to them: the first process of a container never hears of those before that.
# https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
_STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)

from config.logging import WithoutRequests, configure  # noqa: E402
from config.scratch import metrics_directory, scratch  # noqa: E402
from config.settings import WebSettings, load_or_exit  # noqa: E402

_settings = load_or_exit(WebSettings)
configure(_settings.log_level)

bind = f"0.0.0.0:{_settings.port}"
workers = _settings.web_concurrency
# without a thread for a stalled client, where the system is Linux; elsewhere for development alone
worker_class = "app.web.server.BufferingWorker" if sys.platform == "linux" else "gthread"
threads = _settings.web_threads

# imported once, and shared by the processes that are forked: sooner ready, and less memory. A
# reload (SIGHUP) takes no new code, tokens or secrets: these come with a new container
preload_app = True


def when_ready(_arbiter: Any) -> None:
    """Look for garbage in what comes from now on; the processes are forked after that."""
    gc.freeze()
    _go_on()


def on_reload(_arbiter: Any) -> None:
    """Do as before: a reload runs this file again."""
    _go_on()


def _go_on() -> None:
    """End what is so for a start only."""
    gc.enable()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def post_fork(arbiter: Any, worker: Any) -> None:
    """Keep what the process hears before it has begun to listen to signals itself."""
    worker.heard_early = arbiter.SIG_QUEUE


def post_worker_init(worker: Any) -> None:
    """Stop where that has been asked for by then: gunicorn would forget it, and kill in the end.

    https://github.com/benoitc/gunicorn/issues/1910
    """
    while not worker.heard_early.empty():
        if worker.heard_early.get() in _STOPS:
            worker.alive = False


# per process; an idle one is a socket and 3 KB. One more, and whoever was idle longest must go
worker_connections = 4096

# above the idle time of load balancers (60 s as a rule): else they send on a closing connection
keepalive = 75

# above the longest Prefer: wait, so that a stop lets it end
graceful_timeout = 35

# a process whose main loop is silent for so long is replaced; requests run in other threads
timeout = 60

# on by default at one path per user, where a second gunicorn clashes with the first
control_socket_disable = True

# the heartbeat is a file: on a slow disk it blocks the process; and /tmp may be such a disk
worker_tmp_dir = scratch()

# nobody's headers say where the application lives: SCRIPT_NAME from a trusted peer ends in a 500
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
