import re
import subprocess

import pytest

from agent.metrics import CATALOG, Histogram, Metrics, Sample


def one_of_each():
    for definition in CATALOG.values():
        value = 3.0
        if definition.kind == "histogram":
            value = Histogram()
            value.observe(0.004, 10)
        yield Sample(definition.name, value, tuple("x" for _ in definition.labels))


def test_the_page_passes_promtool_without_a_word():
    metrics = Metrics()
    metrics.source(one_of_each)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.page(), capture_output=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_every_metric_of_the_catalog_is_on_the_page():
    metrics = Metrics()
    metrics.source(one_of_each)
    named = set(re.findall(r"^# TYPE (tidegate_\w+)", metrics.page().decode(), re.MULTILINE))
    assert named == set(CATALOG)


def test_a_histogram_takes_a_batch_at_once():
    histogram = Histogram((0.1, 1.0))
    histogram.observe(0.1, 5)
    histogram.observe(0.5)
    histogram.observe(7.0, 2)
    assert histogram.buckets() == [("0.1", 5), ("1.0", 6), ("+Inf", 8)]
    assert histogram.sum == pytest.approx(15.0)


def test_a_sample_outside_the_catalog_is_an_error():
    metrics = Metrics()
    metrics.source(lambda: [Sample("tidegate_surprise", 1.0)])
    with pytest.raises(KeyError, match="tidegate_surprise"):
        metrics.page()


def test_a_histogram_kept_elsewhere_reads_the_same():
    assert Histogram.from_cumulative({0.1: 5, 1.0: 6}, 8, 15.0).buckets() == [("0.1", 5), ("1.0", 6), ("+Inf", 8)]
