"""Headless Chromium for tests; it reaches only the loopback interface."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_SECONDS = 120
WINDOW = "1000,1500"

# As root Chromium starts only without its sandbox; its own services would use the network.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--enable-logging=stderr",
)


class Browser:
    """Chromium with its profile in ``directory``; without Chromium the test is skipped.

    ``complaints`` has the lines of the pages' console, such as a violated policy.
    """

    def __init__(self, directory: Path) -> None:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            pytest.skip("no browser: apt-get install --no-install-recommends chromium")
        self._command = [found, *OPTIONS, f"--user-data-dir={directory / 'profile'}"]
        self.complaints: list[str] = []

    def open(self, url: str) -> str:
        """Return the page's DOM as HTML."""
        ran = _run([*self._command, "--dump-dom", f"--window-size={WINDOW}", url])
        assert ran.returncode == 0, ran.stderr
        self.complaints += re.findall(r"CONSOLE.*", ran.stderr)
        return ran.stdout


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
