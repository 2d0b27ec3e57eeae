"""The worker: ``python -m app.worker``."""

import gc
import os
import signal

gc.disable()  # hardly anything of a start is garbage: docs/decisions/0013-what-made-it-fast.md

# Until somebody waits for them: the first process of a container never hears of those before that.
# https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})

from app.bootstrap.worker import worker  # noqa: E402
from config.logging import configure  # noqa: E402
from config.settings import WorkerSettings, load_or_exit  # noqa: E402

if __name__ == "__main__":
    settings = load_or_exit(WorkerSettings, os.environ)
    configure(settings.log_level)
    process = worker(settings)
    gc.freeze()
    gc.enable()
    process.run()
