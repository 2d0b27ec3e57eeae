"""What ``/metrics`` tells, as Prometheus reads it."""

import re

ZERO = 0.0


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and labels, as they are written: ``relay_…{result="accepted"}``."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def kinds(text: str) -> dict[str, str]:
    """Every metric's type by its name."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def labels(text: str, name: str) -> dict[str, float]:
    """What one metric with a single label says, by that label's value."""
    found = re.findall(rf'^{name}{{\w+="([^"]*)"}} (\S+)$', text, re.MULTILINE)
    return {label: float(value) for label, value in found}
