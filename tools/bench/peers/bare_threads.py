"""Bare threads, each with one call after the other on a fresh connection."""

import sys
from itertools import count
from threading import Thread

import requests


def main(url: str, threads: int, calls: int) -> None:
    """Make ``calls`` calls."""
    numbers = count()  # its next() is atomic

    def work() -> None:
        while (number := next(numbers)) < calls:
            answer = requests.post(f"{url}/users/user-{number}/user-chats", timeout=15)
            answer.raise_for_status()
            assert answer.json()["userChat"]["id"]

    workers = [Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
