"""docs/KAFKA_ERRORS.md, made from the table: `python -m sync.kafka.errors.docs > docs/KAFKA_ERRORS.md`."""

from __future__ import annotations

import sys
from typing import Final

from sync.kafka.errors.table import TABLE, Kind

_DONE: Final = {
    Kind.TAKEN: ("The broker has the batch.", "settled"),
    Kind.RECORD: (
        "A record of the batch will never be accepted.",
        "the batch is split down to that record, which becomes a dead letter (D4)",
    ),
    Kind.SEQUENCE: (
        "The broker no longer remembers what it acknowledged to our producer id: it lost records.",
        "the batch is looked up (D7)",
    ),
    Kind.TOPIC: (
        "The topic is missing, may not be written, or its settings refuse every record.",
        "waits, and is sent again unchanged",
    ),
    Kind.CLIENT: (
        "This gateway: a setting, its rights, its clock, its version.",
        "waits, and is sent again unchanged: once a minute if only a setting helps, alarms every 5 s",
    ),
    Kind.PASSING: ("The cluster as it is now.", "waits, and is sent again unchanged"),
    Kind.OTHER: (
        "Consumer groups, transactions, administration, broker to broker: a gateway makes no such request.",
        "if it does come: waits, and is sent again unchanged",
    ),
}

_HEAD: Final = """\
# Kafka's error codes

What the gateway does when a broker answers a batch with an error. The table lists every code of Kafka's protocol up
to 133 (Apache Kafka 4.3). Any other code counts as `other`.

**Only an error about a record makes a dead letter.** After any other error the same batch is sent again, under the
same producer id and sequence (D2), and the log keeps it until it is accepted. If that lasts, it is shown in the
journal, in `tidegate status`, by the alert `kafka/TOPIC` and by the metric `tidegate_shipper_topic_waiting`, with the
setting to correct.

This page is generated from the code: `python -m sync.kafka.errors.docs > docs/KAFKA_ERRORS.md`.

| kind | what it is about | what happens to the batch |
|---|---|---|
"""

_TABLE: Final = """

*Not appended: yes* means that a broker finds the error before it appends anything. After any other error the batch
may still have been appended, so it counts as not answered (F6).

| code | name | kind | not appended | setting | what to do |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    kinds = [f"| `{kind}` | {about} | {done} |" for kind, (about, done) in _DONE.items()]
    rows = [
        f"| {error.code} | {error.name} | `{error.kind}` | {'yes' if error.before else ''} "
        f"| {f'`{error.setting}`' if error.setting else ''} | {error.cure} |"
        for error in TABLE
    ]
    return f"{_HEAD}{chr(10).join(kinds)}{_TABLE}{chr(10).join(rows)}\n"


if __name__ == "__main__":
    sys.stdout.write(page())
