"""One partition, read: from an offset to an end, batch by batch.

Whoever reads says from where to where, and looks through the batches. What stands between records is handled here and
in `stored`, once: control batches, aborted transactions, batches that compaction emptied or removed, batches larger
than a fetch, an offset that retention has taken, a broker that answers nothing because of a quota.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from sync.kafka.connection.client import TopicUnavailable
from sync.kafka.errors.answers import NONE, OFFSET_OUT_OF_RANGE, name_of
from sync.kafka.questions.stored import Fetched
from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sync.kafka.connection.client import Client
    from sync.kafka.questions.stored import Stored

FETCH_BYTES: Final = 256 * 1024
_MOST_FETCH_BYTES: Final = 256 * 1024 * 1024
_FETCH_WAIT_MS: Final = 500
_PATIENCE_S: Final = 2.0
"""So long a partition may give nothing although there should be something."""
_QUOTA_PATIENCE_S: Final = 60.0
"""So long a broker may answer nothing because this user, or this client, has used up its quota."""
_LATEST: Final = -1
_EARLIEST: Final = -2
_READ_UNCOMMITTED, _READ_COMMITTED = 0, 1
_LAST_STABLE_AT: Final = 3
_ABORTED_AT: Final = {11: -3}
"""Where a partition's answer has them in a version; before 11 one place further on."""
_FIRST_STRETCH: Final = 500
_STRETCH_GROWTH: Final = 4


class Partition:
    """A partition of one cluster, over a client's connection to its leader, or over `connection`.

    `committed`: only what consumers of committed records see; records of aborted transactions are left out, and
    nothing is read past a transaction that is still open. All methods raise, besides what they name:

        TopicUnavailable: the topic or partition is not there, has no leader, or may not be read.
        Unreachable: nobody answers.
        Misconfigured: the cluster refuses our credentials.
    """

    def __init__(
        self,
        client: Client,
        topic: str,
        number: int,
        *,
        committed: bool = False,
        fetch_bytes: int = FETCH_BYTES,
        connection: Any = None,
    ) -> None:
        self._client = client
        self._topic = topic
        self._number = number
        self._where = f"topic {topic}: partition {number}"
        self._isolation = _READ_COMMITTED if committed else _READ_UNCOMMITTED
        self._fetch_bytes = fetch_bytes
        self._connection = connection
        self.position = 0
        """The offset behind all that was read."""
        self.read_bytes = 0
        """How many bytes of batches were fetched, over all readings."""
        self.trimmed = False
        """Whether an offset to be read was gone: taken by retention, or of a topic that was created again since."""

    async def start(self) -> int:
        """The oldest offset that it still has."""
        return await self._offset(_EARLIEST)

    async def end(self) -> int:
        """The offset that its next record gets, as far as all replicas in sync have it (the high watermark)."""
        return await self._offset(_LATEST)

    async def read(self, start: int, end: int | None = None, *, strict: bool = False) -> AsyncIterator[list[Stored]]:
        """The batches from `start` on, as each answer brings them, until `position` is at `end`.

        Without `end`: to where the brokers let it be read now. If the offset is gone, reading goes on where the
        partition begins now. If the brokers say that there is more, and give nothing for a while, compaction took
        what was left. With `strict` both are NotReady.

        Raises:
            NotReady: nothing comes, though there should be something; asking again may help.
            Damaged: what stands there is no batch.
        """
        self.position, moved, quiet = start, False, _Quiet()
        while end is None or self.position < end:
            fetched = await self._fetch(self.position)
            if fetched is None:
                if strict or moved:
                    raise NotReady(f"{self._where}: offset {self.position} cannot be read, it was removed")
                moved, end = True, await self._move(end)
                continue
            before = self.position
            batches, self.position = fetched.batches(self._where, before, end)
            if batches:
                yield batches
            if self.position > before:
                moved, quiet = False, _Quiet()
            elif quiet.over() and self._nothing_left(fetched, end, strict=strict):
                return
            if end is None and self.position >= fetched.readable:
                return

    async def _move(self, end: int | None) -> int | None:
        """Go on where the partition begins now; the end to read to."""
        self.trimmed = True
        before, self.position = self.position, await self.start()
        # Begun before where we were: the topic was created again, and the end is another one too.
        return end if self.position > before else None

    def _nothing_left(self, fetched: Fetched, end: int | None, *, strict: bool) -> bool:
        """True if compaction took what was left, also the last records; raises NotReady where that is not known."""
        here = f"from offset {self.position} on"
        if fetched.readable <= self.position < fetched.high_watermark:
            raise NotReady(f"{self._where}: a transaction that is still open holds back what stands {here}")
        reached = fetched.readable if end is None else end
        if strict or fetched.readable < reached or fetched.records:
            raise NotReady(f"{self._where}: nothing comes {here}, and its end is {reached}")
        self.position = reached
        return True

    async def _fetch(self, offset: int) -> Fetched | None:
        """What stands at an offset; None if there is no such offset."""
        max_bytes, since_s = self._fetch_bytes, time.monotonic()
        while True:
            wanted = [(self._topic, [(self._number, offset, max_bytes)])]
            answer = await self._ask(FetchRequest(_FETCH_WAIT_MS, 1, max_bytes, self._isolation, wanted))
            self._check(getattr(answer, "error_code", NONE))
            if not answer.topics:  # a quota is used up; the broker lets the next answer wait accordingly
                if time.monotonic() - since_s > _QUOTA_PATIENCE_S:
                    raise NotReady(f"{self._where}: nothing comes, the brokers' quota for this client is used up")
                continue
            found = answer.topics[0][1][0]
            if found[1] == OFFSET_OUT_OF_RANGE:
                return None
            self._check(found[1])
            fetched = self._fetched(found, answer.API_VERSION)
            self.read_bytes += len(fetched.records)
            if not fetched.cut_off or max_bytes >= _MOST_FETCH_BYTES:
                return fetched
            max_bytes *= 2

    def _fetched(self, found: tuple[Any, ...], version: int) -> Fetched:
        high_watermark, records = int(found[2]), bytes(found[-1] or b"")
        if self._isolation == _READ_UNCOMMITTED:
            return Fetched(records, high_watermark, high_watermark, ())
        stable, aborted = int(found[_LAST_STABLE_AT]), found[_ABORTED_AT.get(version, -2)]
        return Fetched(records, high_watermark if stable < 0 else stable, high_watermark, aborted or ())

    async def _offset(self, which: int) -> int:
        request = OffsetRequest(-1, _READ_UNCOMMITTED, [(self._topic, [(self._number, which)])])
        answer = await self._ask(request)
        _partition, code, _timestamp, offset, *_ = answer.topics[0][1][0]
        self._check(code)
        return int(offset)

    async def _ask(self, request: Any) -> Any:
        if self._connection is not None:
            return await self._client.ask(self._connection, request)
        return await self._client.ask_leader(self._topic, self._number, request)

    def _check(self, code: int) -> None:
        if code != NONE:
            self._client.forget(self._topic)
            raise TopicUnavailable(code, f"{self._where}: {name_of(code)}")


class _Quiet:
    """For how long, and for how many answers, nothing came."""

    def __init__(self) -> None:
        self._since_s = time.monotonic()
        self._answers = 0

    def over(self) -> bool:
        """One more answer brought nothing; whether that was one too many."""
        self._answers += 1
        return self._answers > 1 and time.monotonic() - self._since_s >= _PATIENCE_S


def stretches_back(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The offsets from `start` to before `end` in pieces, each (first, behind its last), the last piece first."""
    offsets = _FIRST_STRETCH
    while start < end:
        begun = max(start, end - offsets)
        yield begun, end
        end, offsets = begun, offsets * _STRETCH_GROWTH
