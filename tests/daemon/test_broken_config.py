"""Ten kinds of broken configuration: one line each, with file, line, path and hint; exit status 2; no traceback."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.daemon import EXECUTABLE

GOOD = """\
gateway:
  id: gw-1
  site: site-1
  state_dir: {folder}/state
  runtime_dir: {folder}/run
kafka:
  brokers: [127.0.0.1:9092]
mqtt:
  - name: barge
    local: true
    subscriptions:
      - topic: farm/{{site}}/{{tank}}/{{metric}}
sensors:
  - id: tank_001_temperature
    type: temperature
    unit: degC
    tank: tank_001
    limits: {{low: 10, high: 20}}
cameras:
  - name: pen-1
    source: /dev/video0
    tank: pen-1
    model: fish
models:
  - name: fish
    path: package:fish/1
"""

BROKEN = {
    "an unknown key": ("    local: true\n", "    local: true\n    qoss: 1\n", "mqtt[0].qoss"),
    "a value of the wrong type": ("    local: true\n", "    local: true\n    port: many\n", "mqtt[0].port"),
    "a number out of range": ("    local: true\n", "    local: true\n    port: 70000\n", "mqtt[0].port"),
    "a missing key": ("  id: gw-1\n", "", "gateway"),
    "a unit that the kind of sensor does not have": ("unit: degC", "unit: mg/L", "sensors[0].unit"),
    "limits the wrong way round": ("low: 10, high: 20", "low: 30, high: 20", "sensors[0].limits"),
    "a model that nobody defines": ("model: fish", "model: shark", "cameras[0].model"),
    "no local broker": ("    local: true\n", "", "mqtt"),
    "an environment variable that is not set": ("id: gw-1", "id: ${{TIDEGATE_NOWHERE_SET}}", "gateway.id"),
    "a secret file that is not there": (
        "    local: true\n",
        "    local: true\n    username: x\n    password_file: {folder}/none\n",
        "mqtt[0].password_file",
    ),
    "broken YAML": ("  site: site-1\n", "  site: [site-1\n", ""),
    "a topic pattern that cannot be": ("farm/{{site}}/{{tank}}/{{metric}}", "farm/{{site}}x/{{tank}}", "mqtt[0]"),
    "two units of one name": ("models:\n", "models:\n  - name: fish\n    path: package:fish/1\n", "models"),
}


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_document_is_named_in_one_line(kind, verb, tmp_path):
    before, after, path = BROKEN[kind]
    assert before in GOOD
    file = tmp_path / "config.yaml"
    file.write_text(GOOD.replace(before, after, 1).format(folder=tmp_path))
    done = subprocess.run(
        [str(EXECUTABLE), verb, "--config", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout + done.stderr
    lines = [line for line in said.splitlines() if "config.yaml:" in line]
    assert done.returncode == 2, said
    assert "Traceback" not in said
    assert len(lines) == 1, said
    assert re.match(rf"{re.escape(str(file))}:\d+: ", lines[0]), lines[0]
    assert path in lines[0]
    assert "(hint: " in lines[0], lines[0]


def test_the_good_one_is_good(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(GOOD.format(folder=tmp_path))
    done = subprocess.run(
        [str(EXECUTABLE), "check", "--config", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
