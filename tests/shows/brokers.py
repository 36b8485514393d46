"""Each broker beside the gateway, disturbed: what is missing and what came twice, and what `check --live` said of it.

MQTT brokers: the daemon is killed (-9), stopped in an orderly way, and cut off six times. Kafka: the broker is. Every
row that was run is put into docs/BROKERS.md; the others stay as they are.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.support.broker import BrokerError
from tests.support.brokers import page
from tests.support.brokers.disturbance import Size
from tests.support.brokers.kinds import KAFKA, MQTT, KafkaKind, MqttKind
from tests.support.brokers.packages import NotAtHand
from tests.support.brokers.trials import kafka_row, mqtt_row, tree
from tests.support.kafka import ApacheKafka

if TYPE_CHECKING:
    from tests.support.brokers.trials import Row

_COLUMNS = {"mqtt": 8, "kafka": 7}


def show(kind: MqttKind | KafkaKind, size: Size, kafka: str, *, write: bool) -> Row | None:
    """Run one broker's row, print it, and put it into the page; None if it is not at hand or does not start."""
    table, kinds = ("mqtt", MQTT) if isinstance(kind, MqttKind) else ("kafka", KAFKA)
    order = [one.title for one in kinds.values()]
    state = tree()
    began = time.monotonic()
    try:
        row = mqtt_row(kind, size, kafka) if isinstance(kind, MqttKind) else kafka_row(kind, size)
    except BrokerError as error:
        # What a fetching tool says goes to the terminal; the page says only which tool it was.
        line = page.not_at_hand(kind.title, _COLUMNS[table], str(error).partition(":")[0], state)
        print(
            f"{kind.name}: {'not at hand' if isinstance(error, NotAtHand) else 'did not start'}: {error}", flush=True
        )
        if write and isinstance(error, NotAtHand):
            page.put(table, line, order)
        return None
    line = page.cells(row, state)
    print(f"{kind.name} ({time.monotonic() - began:.0f} s): " + " | ".join(line[1:]), flush=True)
    for said in page.told(row)[1].split("<br>"):
        print(f"    {said}", flush=True)
    if write:
        page.put(table, line, order)
        page.put(f"{table} check", page.told(row), order)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.brokers", description=__doc__)
    names = [*MQTT, *KAFKA]
    parser.add_argument("names", nargs="*", metavar="BROKER", help=f"all if none is named: {', '.join(names)}")
    parser.add_argument("--readings", type=int, default=Size().readings)
    parser.add_argument("--per-second", type=float, default=Size().per_second)
    parser.add_argument("--jobs", type=int, default=2, help="brokers at the same time")
    parser.add_argument("--no-page", action="store_true", help="leave docs/BROKERS.md as it is")
    given = parser.parse_args()
    if wrong := [name for name in given.names if name not in names]:
        parser.error(f"no such broker: {', '.join(wrong)}; there are {', '.join(names)}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    size = Size(given.readings, given.per_second)
    kinds = [(MQTT | KAFKA)[name] for name in given.names or names]
    with ApacheKafka() as kafka, ThreadPoolExecutor(given.jobs) as running:
        shown = running.map(lambda kind: show(kind, size, kafka.bootstrap, write=not given.no_page), kinds)
        rows = [row for row in shown if row is not None]
    print(f"{len(rows)} of {len(kinds)} brokers were run")
    return 0 if rows and not any(row.failed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
