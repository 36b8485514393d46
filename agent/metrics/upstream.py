"""All metrics as one compact document for the way upstream, and Prometheus' text from many gateways' documents.

Gateways behind NAT and mobile links cannot be scraped, so they send what a scrape would get.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from agent.metrics.catalog import CATALOG
from agent.metrics.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from agent.metrics.exposition import Sample

_OF_GATEWAY: Final = ("gateway", "site")
_AGE: Final = "tidegate_gateway_metrics_age_seconds"
_STALE_AFTER: Final = 3
"""So many intervals without a document: a gateway's samples are left out then, and only its age is shown."""


def compact(samples: Mapping[str, Mapping[tuple[str, ...], Sample]]) -> dict[str, list[list[Any]]]:
    """Samples by metric, each its label values and then its number; see `agent.events.records.GatewayMetrics`."""
    found = {
        name: [[*labels, _number(sample.value)] for labels, sample in of_one.items()]
        for name, of_one in samples.items()
    }
    # Of the process itself, which the catalog does not list.
    for family in ProcessCollector(registry=None).collect():
        for sample in family.samples:
            found[sample.name] = [[round(sample.value, 3)]]
    return found


def _number(value: float | Histogram) -> Any:
    if isinstance(value, Histogram):
        return _histogram(value)
    if not isfinite(value):
        return str(float(value))
    return int(value) if value == int(value) else float(f"{value:.7g}")


def _histogram(value: Histogram) -> list[Any]:
    """Sum, count and cumulative counts at the bounds where they change."""
    buckets = value.buckets()
    kept: list[list[float]] = []
    before = 0.0
    for bound, count in buckets[:-1]:
        if count != before:
            kept.append([float(bound), count])
            before = count
    return [float(f"{value.sum:.7g}"), buckets[-1][1], kept]


@dataclass(frozen=True, slots=True)
class Received:
    """One gateway's newest document, and how old it is."""

    gateway_id: str
    site_id: str
    every_s: float
    age_s: float
    values: Mapping[str, list[list[Any]]]


def text_of(received: Iterable[Received]) -> bytes:
    """Prometheus' text format: every sample with the labels `gateway` and `site` in front of its own.

    A gateway whose document is older than three of its intervals shows only its age. What this version's catalog does
    not know, or is not written as it should be, is left out.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fleet(list(received)))
    return generate_latest(registry)


class _Fleet(Collector):
    def __init__(self, received: list[Received]) -> None:
        self._received = received

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        ages = GaugeMetricFamily(_AGE, CATALOG[_AGE].help, labels=_OF_GATEWAY)
        for one in self._received:
            ages.add_metric((one.gateway_id, one.site_id), one.age_s)
        yield ages
        fresh = [one for one in self._received if one.age_s <= _STALE_AFTER * one.every_s]
        for name in dict.fromkeys(name for one in fresh for name in one.values):
            family = _family(name)
            for one in fresh:
                for sample in one.values.get(name, ()):
                    _add(family, (one.gateway_id, one.site_id), sample, name)
            if family.samples:
                yield family


def _family(name: str) -> Any:
    definition = CATALOG.get(name)
    if definition is None:
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        return kind(name, "Of the daemon's process.", labels=_OF_GATEWAY)
    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    return kinds[definition.kind](name, definition.help, labels=(*_OF_GATEWAY, *definition.labels))


def _add(family: Any, whose: tuple[str, str], sample: list[Any], name: str) -> None:
    definition = CATALOG.get(name)
    wanted = 0 if definition is None else len(definition.labels)
    if len(sample) != wanted + 1:
        return  # of another version, with other labels
    labels = (*whose, *map(str, sample[:-1]))
    try:
        if definition is not None and definition.kind == "histogram":
            total, count, kept = sample[-1]
            buckets = [(str(float(bound)), float(at_most)) for bound, at_most in kept]
            family.add_metric(labels, [*buckets, ("+Inf", float(count))], float(total))
        else:
            family.add_metric(labels, float(sample[-1]))
    except (TypeError, ValueError):
        return
