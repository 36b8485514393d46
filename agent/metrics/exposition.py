"""The page: samples from the hub's sources, ordered by the catalog, in Prometheus' text format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from agent.metrics.catalog import CATALOG
from agent.metrics.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one metric of the catalog; `labels` in the catalog's order."""

    name: str
    value: float | Histogram
    labels: tuple[str, ...] = ()


class Metrics(Collector):
    """Asks its sources when it is scraped, so that counting costs nothing in between."""

    def __init__(self) -> None:
        self._sources: list[Callable[[], Iterable[Sample]]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def source(self, source: Callable[[], Iterable[Sample]]) -> None:
        """Ask this source too, at each scrape. It must not block."""
        self._sources.append(source)

    def page(self) -> bytes:
        """Everything, in the text format."""
        return generate_latest(self._registry)

    def part(self, prefix: str) -> bytes:
        """The metrics whose names begin so, in the text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Part(self, prefix))
        return generate_latest(registry)

    def samples(self) -> dict[str, dict[tuple[str, ...], Sample]]:
        """Every sample now, by metric and labels.

        Raises:
            ValueError: a sample that the catalog does not know, or the same one twice: Prometheus would refuse
                the whole page, and say so to nobody here.
        """
        by_name: dict[str, dict[tuple[str, ...], Sample]] = {}
        for source in self._sources:
            for sample in source():
                definition = CATALOG.get(sample.name)
                if definition is None or len(sample.labels) != len(definition.labels):
                    raise ValueError(f"not in the catalog: {sample.name} with labels {sample.labels}")
                known = by_name.setdefault(sample.name, {})
                if sample.labels in known:
                    raise ValueError(f"twice: {sample.name} with labels {sample.labels}")
                known[sample.labels] = sample
        return by_name

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client: one family for each metric of which there are samples. Raises as `samples` does."""
        yield from families(self.samples())

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: what there is shows at the scrape."""
        return ()


class _Part(Collector):
    """The metrics whose names begin with a prefix."""

    def __init__(self, whole: Metrics, prefix: str) -> None:
        self._whole = whole
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        samples = self._whole.samples()
        yield from families({name: found for name, found in samples.items() if name.startswith(self._prefix)})

    def describe(self) -> Iterable[Metric]:
        return ()


def families(by_name: Mapping[str, Mapping[tuple[str, ...], Sample]]) -> Iterator[Metric]:
    """Samples as prometheus_client has them, in the order of the catalog."""
    for name, definition in CATALOG.items():
        if name not in by_name:
            continue
        family = _FAMILIES[definition.kind](name, definition.help, labels=definition.labels)
        for sample in by_name[name].values():
            if isinstance(sample.value, Histogram):
                family.add_metric(sample.labels, sample.value.buckets(), sample.value.sum)
            else:
                family.add_metric(sample.labels, sample.value)
        yield family


_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
