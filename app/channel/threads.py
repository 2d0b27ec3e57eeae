"""The threads in which calls are made."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

THREAD_NAME = "channel-call"

Work = Callable[[], None]


class CallThreads:
    """As many threads as there once were calls under way; what has done its work waits for more.

    One that hangs in a name look-up after its call was given up does not come back for as long.
    """

    def __init__(self) -> None:
        self._waiting: list[SimpleQueue[Work]] = []

    def run(self, work: Work) -> None:
        """Begin with ``work``, which raises nothing. Raises RuntimeError if no thread can start."""
        try:
            queue = self._waiting.pop()
        except IndexError:
            queue = self._start()
        queue.put(work)

    def _start(self) -> SimpleQueue[Work]:
        queue: SimpleQueue[Work] = SimpleQueue()
        # A daemon: a name look-up that hangs must not keep the process from ending.
        Thread(target=self._serve, args=(queue,), name=THREAD_NAME, daemon=True).start()
        return queue

    def _serve(self, queue: SimpleQueue[Work]) -> None:
        while True:
            queue.get()()
            self._waiting.append(queue)
