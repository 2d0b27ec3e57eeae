"""Tests of the operator's documents: metrics, labels, alerts and commands exist."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.bootstrap.operate import build_cli_context
from app.operate.commands import cli
from tests.scraped import METRICS
from tools.stack.channel_io import Behaviour

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MONITORING = ROOT / "monitoring"
OPERATING = (DOCS / "operating.md").read_text()
ALERTS = (MONITORING / "alerts.yml").read_text()
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
RULES = ALERTS.split("      - alert: ")[1:]
COMMANDS = sorted(set(re.findall(r"python -m app\.operate ([^`#\n]+)", OPERATING)))
WRONG_USAGE = 2


def metrics_in(text: str) -> set[str]:
    """The metrics that a text is about, without what a histogram adds to its name."""
    found = re.findall(r"\brelay_[a-z_]+", text)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def test_alerts_are_about_metrics_that_exist() -> None:
    """One that is misspelt would never fire."""
    assert metrics_in(ALERTS)
    assert metrics_in(ALERTS) <= METRICS.keys()


def test_the_dashboard_is_about_metrics_that_exist() -> None:
    """All of them, and no others."""
    shown = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])

    assert METRICS.keys() == metrics_in(shown)


def test_every_metric_is_explained() -> None:
    """In the table of what to watch."""
    assert METRICS.keys() == metrics_in(OPERATING)


def test_alerts_look_at_labels_that_exist() -> None:
    """By a value of the closed lists, which are in the table too."""
    found = re.findall(r'(relay_[a-z_]+){\w+="(\w+)"}', ALERTS)

    assert found
    for metric, value in found:
        (row,) = [line for line in OPERATING.splitlines() if line.startswith(f"| `{metric}{{")]
        assert f"`{value}`" in row


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.partition("\n")[0])
def test_an_alert_has_severity_and_remedy(rule: str) -> None:
    """Its part of the guide is where it says."""
    name = rule.partition("\n")[0]

    assert re.search(r"^        expr: ", rule, re.MULTILINE)
    assert re.search(r"^          severity: (critical|warning|info)$", rule, re.MULTILINE)
    assert re.search(r"^          summary: ", rule, re.MULTILINE)
    assert f"          runbook: docs/operating.md#{name.lower()}\n" in rule
    assert f"\n### {name}\n" in OPERATING


def test_each_alert_can_be_tried() -> None:
    """Each alert has a row that fires it with `make run`, by users of the stand-in."""
    section = OPERATING.partition("\n## Trying the alerts\n")[2].partition("\n## ")[0]

    names = [rule.partition("\n")[0] for rule in RULES]
    assert names == re.findall(r"^\| (Relay\w+) \|", section, re.MULTILINE)
    users = {*re.findall(r"\bstand-in-[a-z-]+", section)}
    assert users
    assert users <= {behaviour.user_id for behaviour in Behaviour}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_can_be_pasted(
    command: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may find nothing to do; it is never wrong usage."""
    (tmp_path / "worker.log").touch()
    monkeypatch.chdir(tmp_path)
    built = build_cli_context({"REDIS_URL": redis_url})

    result = CliRunner().invoke(cli, shlex.split(command), obj=built)

    assert WRONG_USAGE != result.exit_code or "cannot start" in result.output, result.output
