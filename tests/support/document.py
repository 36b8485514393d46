"""A good document of config, to make mistakes in, and what is said of them."""

from __future__ import annotations

import pytest

from agent.config import ConfigErrors, parse

GOOD = """\
gateway:
  id: barge-1
  site: site_001
kafka:
  brokers: [127.0.0.1:9092]
mqtt:
  - name: barge
    local: true
    subscriptions:
      - topic: farm/{site}/{tank}/{metric}
        qos: 1
sensors:
  - id: pen-1_temperature
    type: temperature
    unit: degC
    tank: pen-1
    limits: {low: 4, high: 18}
models:
  - name: fish
    path: zoo/fish
cameras:
  - name: pen-1
    source: rtsp://10.0.0.7/main
    tank: pen-1
    model: fish
    fps: 5
"""


def changed(old, new):
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def problems_of(text, **how):
    with pytest.raises(ConfigErrors) as caught:
        parse(text, "c.yaml", how.pop("env", {}), **how)
    return [str(problem) for problem in caught.value.problems]
