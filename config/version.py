"""The release, as ``pyproject.toml`` has it, which the image does not contain."""

VERSION = "0.9.0"
