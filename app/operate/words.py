"""Records, history and the gate in words, for the command line and the pages."""

from dataclasses import dataclass

from app.chats.record import Record
from app.operate import text_output as t
from app.store.history import EventHistory
from app.store.relay_stats import RelayStats

format_time = t._format_time
describe_why = t._format_why


@dataclass(frozen=True, slots=True)
class Explanation:
    lines: list[str]


def describe_gate(stats: RelayStats) -> list[tuple[str, str]]:
    return [("Breaker", t._format_breaker(stats)), ("Pause", t._format_pause(stats))] + [
        ("Probe", t._format_probe(p)) for p in stats.failing_probes
    ]


def list_facts(record: Record) -> list[str]:
    return [l for l in (t._format_chats(record) + "\n" + t._format_tasks(record)).splitlines() if l]


def list_moments(history: EventHistory) -> list[tuple[str, str]]:
    return t._format_time_line(history)


def explain(history: EventHistory, stats: RelayStats) -> Explanation:
    return Explanation(
        [l for l in t._advise(history, stats).splitlines() if not l.startswith("  ")]
    )
