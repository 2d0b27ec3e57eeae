"""``/metrics`` as Prometheus parses it."""

import re

# The contract, and whose each is.
OF_WEB = {
    "relay_events_total": "counter",
    "relay_request_seconds": "histogram",
    "relay_backlog_events": "gauge",
    "relay_oldest_waiting_seconds": "gauge",
    "relay_held_events": "gauge",
    "relay_failed_events": "gauge",
    "relay_breaker_open": "gauge",
    "relay_workers": "gauge",
    "relay_probe_failing": "gauge",
    "relay_paused": "gauge",
    "relay_log_lines_lost_total": "counter",
    "relay_build_info": "gauge",
}
OF_WORKER = {
    "relay_calls_total": "counter",
    "relay_call_seconds": "histogram",
    "relay_time_to_settle_seconds": "histogram",
    "relay_possible_orphans_total": "counter",
    "relay_duplicate_chats_total": "counter",
    "relay_stale_answers_total": "counter",
    "relay_workers_lost_total": "counter",
    "relay_log_lines_lost_total": "counter",
    "relay_build_info": "gauge",
}
METRICS = OF_WEB | OF_WORKER


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and labels, as they are written: ``relay_…{result="accepted"}``."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def kinds(text: str) -> dict[str, str]:
    """Every metric's type by its name."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def labels(text: str, name: str) -> dict[str, float]:
    """Return one metric's values by the value of its only label."""
    found = re.findall(rf'^{name}{{\w+="([^"]*)"}} (\S+)$', text, re.MULTILINE)
    return {label: float(value) for label, value in found}
