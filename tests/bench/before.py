"""What `make bench` wrote at the beginning of this work, on 2026-11-23: the column *before*."""

from __future__ import annotations

BEFORE: dict[str, str] = {
    "sensor → fsynced log → Kafka, QoS 1, from a waiting session": "82,679 readings/s",
    "CPU per reading, whole daemon, full load, from a waiting session": "9.9 µs",
    "the same, beside a publisher of pre-encoded packets": "58,476 readings/s",
    "CPU per reading, beside the publisher": "10.5 µs",
    "drain after an outage, to a local Kafka": "314,149 records/s",
    "sensor → Kafka at 200 readings/s, `commit_interval_ms: 200`": "p50 108.7 ms, p99 208.7 ms",
    "CPU at 200 readings/s, `commit_interval_ms: 200`": "4.7% of one core",
    "bytes to flash per byte of body at 200 readings/s, `commit_interval_ms: 200`": "0.50",
    "sensor → Kafka at 200 readings/s, `commit_interval_ms: 0`": "p50 2.6 ms, p99 8.5 ms",
    "bytes to flash per byte of body at 200 readings/s, `commit_interval_ms: 1000`": "0.13",
    "published → alert heard on the local broker": "p50 2.2 ms, p99 3.5 ms",
    "published → alert heard on the local broker, with a full disk": "p50 1.4 ms, p99 3.7 ms",
    "a frame of 960 by 540 beyond a bare session.run, pre/post and the way to the model's process included": "1.35 ms beside 5.1 ms",  # noqa: E501 - a row's name
    "memory (PSS over all processes), sensors only": "56 MiB",
    "memory (PSS over all processes), one ONNX model and one camera": "159 MiB",
    "start to first acknowledged reading": "0.58 s",
}
