"""Reads what a gateway has in its topics into accounts, one a log id; memory does not grow with the topics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sync.audit.accounting import Account
from sync.kafka.connection.client import Client, TopicUnavailable
from sync.kafka.questions.partition import Partition
from sync.log.disk.schema import MAX_NUMBER
from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.kafka.settings import KafkaSettings

_FETCH_BYTES: Final = 4 * 1024 * 1024
_NO_SUCH_TOPIC: Final = 3
_EVENTS: Final = "system-events"
_LETTERS: Final = "dead-letters"
_RUNS: Final = "gateway-runs"
_TELLING: Final = frozenset({_EVENTS, _LETTERS, _RUNS})
_LOSSES: Final = frozenset({"records_lost", "records_thinned"})
_MOST_DIGITS: Final = len(str(MAX_NUMBER))


@dataclass(slots=True)
class _Run:
    """Records with consecutive numbers, not yet in their account."""

    account: Account
    first: int
    last: int
    marked: bool


class Topics:
    """A gateway's records, read on as they come; what it is told is in `accounts`.

    `absent` topics are not there; of those in `cut_off` the oldest records are gone from Kafka, by retention.
    """

    def __init__(self, kafka: KafkaSettings, gateway: str, topics: Sequence[str]) -> None:
        self._client = Client(kafka, create_topics=False)
        self._gateway = gateway
        self._topics = topics
        self._positions: dict[tuple[str, int], int] = {}
        self._run: _Run | None = None
        self.accounts: dict[str, Account] = {}
        self.absent: set[str] = set()
        self.cut_off: set[str] = set()
        self.records = 0

    async def read_on(self) -> None:
        """Read all partitions from where the last reading ended to the end that they have now.

        Raises:
            NotReady: a topic cannot be read now, or not by us; reading may go on later from there.
            Misconfigured: the cluster refuses our credentials.
        """
        ends: dict[tuple[str, int], int] = {}
        try:
            for topic in self._topics:
                for partition in await self._partitions(topic):
                    ends[topic, partition] = await self._partition(topic, partition).end()
                    await self._begin(topic, partition)
            for (topic, partition), end in ends.items():
                await self._read(topic, partition, end)
        except TopicUnavailable as error:
            raise NotReady(error.reason, "check that this user may read it") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def account(self, log_id: str) -> Account:
        """The account of a log id, made where it is new."""
        return self.accounts.setdefault(log_id, Account(log_id))

    def pending(self, log_id: str, first: int, last: int, topic: str, values: Sequence[bytes]) -> None:
        """Records that the gateway still holds, by its own file."""
        account = self.account(log_id)
        if topic in _TELLING:
            for number, value in enumerate(values, first):
                self._tell_once(account, number, topic, value)
        account.pending.add(first, last)

    async def _partitions(self, topic: str) -> range:
        try:
            count = await self._client.partition_count(topic)
        except TopicUnavailable as error:
            if error.code != _NO_SUCH_TOPIC:
                raise
            self.absent.add(topic)
            return range(0)
        self.absent.discard(topic)
        return range(count)

    async def _begin(self, topic: str, partition: int) -> None:
        if (topic, partition) not in self._positions:
            start = await self._partition(topic, partition).start()
            self._positions[topic, partition] = start
            if start > 0:
                self.cut_off.add(topic)

    async def _read(self, topic: str, number: int, end: int) -> None:
        where = topic, number
        partition = self._partition(topic, number)
        try:
            async for batches in partition.read(self._positions[where], end):
                for batch in batches:
                    for record in batch.records():
                        self._look(topic, record)
                    self._positions[where] = batch.after
                self._put_down()
        finally:
            self._put_down()
        self._positions[where] = partition.position
        if partition.trimmed:
            self.cut_off.add(topic)

    def _partition(self, topic: str, number: int) -> Partition:
        # Committed: where a mirror writes in transactions, a copy that was aborted is seen by no consumer.
        return Partition(self._client, topic, number, committed=True, fetch_bytes=_FETCH_BYTES)

    def _look(self, topic: str, record: Any) -> None:
        headers = dict(record.headers)
        log_id = self._log_id(headers.get("ce_source"))
        number = _number(headers.get("ce_id"))
        if log_id is None or number is None:
            return
        self.records += 1
        marked = headers.get("possibly_repeated") == b"1"
        run = self._run
        if run is not None and run.last + 1 == number and run.marked is marked and run.account.log_id == log_id:
            run.last = number
        else:
            self._put_down()
            self._run = _Run(self.account(log_id), number, number, marked)
        if (headers.get("ce_type") or b"").endswith(b".minute"):
            self.account(log_id).aggregates.add(number, number)
        if topic in _TELLING and record.value is not None:
            self._tell_once(self.account(log_id), number, topic, record.value)

    def _put_down(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.account.record(run.first, run.last, marked=run.marked)

    def _tell_once(self, account: Account, number: int, topic: str, value: bytes) -> None:
        """A second copy tells nothing new."""
        if number not in account.delivered and number not in account.pending:
            self._told(topic, value)

    def _told(self, topic: str, value: bytes) -> None:
        """What a record of the gateway says of others: losses, skipped numbers, dead letters, where a log began."""
        try:
            body = json.loads(value)
            if topic == _EVENTS:
                self._event(body.get("event"), body.get("data") or {})
            elif topic == _RUNS:
                began, _ = _span(body["log_first_seq"], MAX_NUMBER)
                self.account(_named(body["log_id"])).began = began
            else:
                log_id = self._log_id(body["headers"]["ce_source"].encode())
                number = _number(body["headers"]["ce_id"].encode())
                if log_id is not None and number is not None:
                    self.account(log_id).dead_lettered.add(number, number)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return  # no record of ours, or of a version to come: it names nothing

    def _event(self, event: object, data: dict[str, Any]) -> None:
        if event == "numbers_skipped":
            first, last = _span(data["first"], data["last"])
            self.account(_named(data["log_id"])).skipped.add(first, last)
        elif event in _LOSSES:
            begun, ended, into = data.get("first"), data.get("last"), data.get("into") or {}
            if begun is not None and ended is not None:
                begun, ended = _span(begun, ended)
            # No count: an unknown number of records.
            count = None if data.get("count") is None else _count(data["count"])
            aggregates = _count(into.get("count") or 0)
            self.account(_named(data["log_id"])).lost(begun, ended, count, str(data["reason"]), aggregates)

    def _log_id(self, source: bytes | None) -> str | None:
        """The log id of a record of this gateway."""
        begin = f"/gateways/{self._gateway}/logs/"
        text = (source or b"").decode(errors="replace")
        return text.removeprefix(begin) if text.startswith(begin) else None


def _number(ce_id: bytes | None) -> int | None:
    digits = (ce_id or b"").rpartition(b"-")[2]
    return int(digits) if digits.isdigit() and len(digits) <= _MOST_DIGITS else None


def _named(log_id: object) -> str:
    if not isinstance(log_id, str):
        raise TypeError("a log id is text")
    return log_id


def _count(said: Any) -> int:
    """So many as a log can have."""
    return min(max(int(said), 0), MAX_NUMBER)


def _span(first: Any, last: Any) -> tuple[int, int]:
    """Numbers that a log can have given."""
    if not isinstance(first, int) or not isinstance(last, int) or not 0 < first <= last <= MAX_NUMBER:
        raise ValueError("these are no numbers of a log")
    return first, last
