"""docs/METRICS.md, made from the catalog: `python -m agent.metrics.docs > docs/METRICS.md`."""

from __future__ import annotations

import sys

from agent.metrics.catalog import CATALOG
from agent.metrics.histogram import LATENCY_S

_HEAD = """\
# Metrics

`GET /metrics` on `http.host`:`http.port` (loopback, 9464), and on the unix socket `tidegate.sock`. Counters
count from the start of the process. There are also the usual `process_*` metrics (CPU, memory, open files).

This page is generated from the catalog: `python -m agent.metrics.docs > docs/METRICS.md`. Alert rules
are in `deploy/prometheus`, a dashboard is in `deploy/grafana`.

Everything that is dropped is counted in `tidegate_dropped_total`: `what` is `message`, `frame` or `record`, `source`
the connection, camera, model or `log`, and `reason` one of a few fixed phrases.

| metric | kind | labels | |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in CATALOG.values()
    ]
    bounds = ", ".join(f"{bound:g}" for bound in LATENCY_S)
    return f"{_HEAD}{chr(10).join(rows)}\n\nBuckets of latencies, in seconds: {bounds}.\n"


if __name__ == "__main__":
    sys.stdout.write(page())
