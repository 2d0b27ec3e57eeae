"""A real browser: Chromium without a window, which reaches nothing but this machine's loopback."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_SECONDS = 120
WINDOW = "1000,1500"

# A root user has no sandbox; and nothing of the browser's own may want the network.
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
    """Opens pages, with a profile of its own in ``directory``. Skips the test where there is none.

    ``complaints`` has what the pages' console said, a policy that was violated for instance.
    """

    def __init__(self, directory: Path) -> None:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            pytest.skip("no browser: apt-get install --no-install-recommends chromium")
        self._command = [found, *OPTIONS, f"--user-data-dir={directory / 'profile'}"]
        self.complaints: list[str] = []

    def open(self, url: str, picture: Path) -> str:
        """Return the page's DOM as HTML; write its screenshot to ``picture``."""
        options = ["--dump-dom", f"--screenshot={picture}", f"--window-size={WINDOW}"]
        ran = _run([*self._command, *options, url])
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
