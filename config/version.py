"""The release, as ``pyproject.toml`` has it; the image contains that file."""

import tomllib
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"

VERSION: str = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]["version"]
