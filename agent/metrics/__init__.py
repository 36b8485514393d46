"""The figures that Prometheus scrapes: a catalog, histograms that take a batch at a time, and the page."""

from agent.metrics.catalog import CATALOG
from agent.metrics.definition import Definition
from agent.metrics.exposition import CONTENT_TYPE, Metrics, Sample
from agent.metrics.histogram import Histogram

__all__ = ["CATALOG", "CONTENT_TYPE", "Definition", "Histogram", "Metrics", "Sample"]
