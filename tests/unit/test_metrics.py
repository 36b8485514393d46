from __future__ import annotations

import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.metrics import CATALOG, Histogram, Metrics, Sample


def page_of(*samples):
    metrics = Metrics()
    metrics.source(lambda: samples)
    return metrics.page().decode()


def values(page):
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def one_of_each():
    for definition in CATALOG.values():
        value = Histogram() if definition.kind == "histogram" else 1.5
        for labels in (("a",) * len(definition.labels), ('é"\\\n',) * len(definition.labels)):
            yield Sample(definition.name, value, labels)
            if not definition.labels:
                break


def test_promtool_has_nothing_to_say_about_any_metric_of_the_catalog():
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=page_of(*one_of_each()),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_metric_of_the_catalog_comes_out_under_its_own_name():
    names = {name for name, _ in values(page_of(*one_of_each()))}
    for definition in CATALOG.values():
        expected = f"{definition.name}_count" if definition.kind == "histogram" else definition.name
        assert expected in names


def test_every_metric_is_explained_and_its_name_is_prefixed():
    for name, definition in CATALOG.items():
        assert name.startswith(("tidegate_", "business_"))
        assert definition.help.endswith(".")
        assert (definition.kind == "counter") == name.endswith("_total")


@pytest.mark.parametrize(
    "samples",
    [
        [Sample("tidegate_unheard_of", 1)],
        [Sample("tidegate_log_bytes", 1, ("lane",))],
        [Sample("tidegate_log_depth_records", 1, ("live",)), Sample("tidegate_log_depth_records", 2, ("live",))],
    ],
)
def test_what_prometheus_would_refuse_is_refused_here(samples):
    with pytest.raises(ValueError, match="tidegate_"):
        page_of(*samples)


def test_a_source_is_asked_at_each_scrape():
    count = iter(range(10))
    metrics = Metrics()
    metrics.source(lambda: [Sample("tidegate_log_bytes", next(count))])
    pages = [values(metrics.page().decode())["tidegate_log_bytes", ()] for _ in range(3)]
    assert pages == [0, 1, 2]


def test_a_batch_is_one_call_and_counts_as_many():
    histogram = Histogram((0.1, 1.0))
    histogram.observe(0.1, 400)
    histogram.observe(0.5, 2)
    histogram.observe(7.0)
    found = values(page_of(Sample("tidegate_ack_latency_seconds", histogram)))
    assert [found["tidegate_ack_latency_seconds_bucket", (le,)] for le in ("0.1", "1.0", "+Inf")] == [400, 402, 403]
    assert found["tidegate_ack_latency_seconds_count", ()] == 403
    assert found["tidegate_ack_latency_seconds_sum", ()] == pytest.approx(48.0)


def test_a_histogram_kept_elsewhere_comes_out_the_same():
    histogram = Histogram.from_cumulative({0.01: 3, 0.1: 5}, 6, 1.25)
    found = values(page_of(Sample("tidegate_log_commit_duration_seconds", histogram)))
    name = "tidegate_log_commit_duration_seconds"
    assert [found[f"{name}_bucket", (le,)] for le in ("0.01", "0.1", "+Inf")] == [3, 5, 6]
    assert (found[f"{name}_count", ()], found[f"{name}_sum", ()]) == (6, 1.25)


def test_labels_from_outside_cannot_break_the_page():
    odd = 'a"} 1\ntidegate_log_bytes 99\n\\'
    found = values(page_of(Sample("tidegate_readings_total", 2, (odd,))))
    assert found["tidegate_readings_total", (odd,)] == 2
    assert ("tidegate_log_bytes", ()) not in found


def test_the_process_itself_is_measured():
    assert values(page_of())["process_resident_memory_bytes", ()] > 0
