"""The alert rules and the dashboard speak of metrics that exist, and promtool's own tests of the rules hold."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from agent.metrics.catalog import CATALOG

FOLDER = Path(__file__).parents[2] / "deploy"
RULES = FOLDER / "prometheus/tidegate.rules.yml"
TESTS = FOLDER / "prometheus/tests/tidegate_test.yml"
DASHBOARD = FOLDER / "grafana/tidegate.json"


def expressions() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [rule["expr"] for group in groups for rule in group["rules"]] + [
        target["expr"] for panel in panels for target in panel["targets"]
    ]


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_in_an_expression_exists_with_its_labels(expression):
    for name, matchers in re.findall(r"(?<![:\w])(tidegate_\w+)(?:\{([^}]*)\})?", expression):
        definition = CATALOG.get(name) or CATALOG.get(re.sub(r"_(bucket|count|sum)$", "", name))
        assert definition is not None, name
        labels = set(re.findall(r"(\w+)\s*[=!]", matchers)) - {"instance", "job"}
        assert labels <= set(definition.labels), name


def test_no_alert_goes_untested():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert set(re.findall(r"Tidegate\w+", TESTS.read_text())) == alerts


@pytest.mark.parametrize("command", [("check", "rules", str(RULES)), ("test", "rules", str(TESTS))])
def test_promtool_agrees(command):
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
