"""Whether the log is this gateway's own, or was restored from a backup or copied from another machine (D11).

Asked once a process, when a broker first answers and before anything is sent. Sensors and alarms on the farm do not
wait for it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from agent import __version__
from agent.events import GatewayRun, Severity, SystemEventKind
from agent.pipeline import GatewayEvents
from agent.systemd import machine_id
from sync.values import BrokerUnreachable, CannotTell, NotReady, Origin, Standing, Unreachable

if TYPE_CHECKING:
    from agent.config.schema import Gateway
    from agent.events import Encoder
    from agent.pipeline import Outbox
    from sync.kafka import KafkaSink, Newest, NewestOf
    from sync.seams import LogIdentity

log = logging.getLogger("tidegate.identity")

TOPIC: Final = "gateway-runs"
_MOST_BYTES: Final = 1024 * 1024
_MOST_REFUSALS: Final = 20
"""So often a topic without a leader is asked again, some twelve seconds: a cluster notices after nine that a broker
is gone, and everything else waits meanwhile."""
_LONGEST_REFUSED_S: Final = 30.0
"""Or so long, if each attempt takes its time: a broker that cannot be reached holds up alarms for no longer."""
_MOST_ABSENCES: Final = 3
"""So often a topic that is not there, where this log has told of no run: a cluster that creates topics by itself
needs a moment for it. One that was told a run was there, and may be again in a moment."""

RestoredLog = Literal["wait", "send_marked"]


class Verdict(StrEnum):
    """What a log is, as the run records say `identity`."""

    FIRST = "first"
    """It has told of no run before."""
    SAME = "same"
    RESTORED = "restored"
    """Upstream knows of a later run, or of another one with this run's number."""
    COPIED = "copied"
    """The last run was on another machine."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and why."""

    verdict: Verdict
    reason: str = ""


def judge(own: Origin, machine: str, upstream: GatewayRun | None) -> Judgement:
    """Compare a log with the newest run record of its gateway, this run's own not yet sent.

    A log that has told of no run under its id, and whose id upstream does not name, is a new one: whatever ran
    before under the gateway's name, no number of it can be taken for another's.
    """
    if own.behind:
        return Judgement(Verdict.RESTORED, "the file next to the log records a later run")
    if own.told_at < 0 and (upstream is None or upstream.log_id != own.log_id):
        return Judgement(Verdict.FIRST)
    if upstream is None:
        return Judgement(Verdict.UNKNOWN, f"the last run record of this gateway is no longer in {TOPIC}")
    if machine and upstream.machine_id and upstream.machine_id != machine:
        return Judgement(Verdict.COPIED, f"run {upstream.run} of this log was on another machine")
    if upstream.run >= own.run:
        reason = f"this is run {own.run}, but Kafka has run {upstream.run}, reported at {upstream.at.isoformat()}"
        return Judgement(Verdict.RESTORED, reason)
    return Judgement(Verdict.SAME)


class Identity:
    """Asks, judges, acts on it and tells the run, each once a process."""

    def __init__(self, durable: LogIdentity, outbox: Outbox, encoder: Encoder, gateway: Gateway) -> None:
        self._log = durable
        self._outbox = outbox
        self._encoder = encoder
        self._events = GatewayEvents(outbox, encoder)
        self._gateway = gateway
        self._machine = gateway.machine_id or machine_id()
        self._refusals = self._absences = 0
        self._refused_since_s = 0.0
        self.judgement: Judgement | None = None
        self._told: GatewayRun | None = None

    async def before_first_send(self, sink: KafkaSink, restored_log: RestoredLog) -> None:
        """Ask, over the sink's connections, whose log it is; what it holds may be sent when this is done.

        Raises:
            NotReady: asking again may help; Unreachable where nobody answers.
            Misconfigured: the cluster refuses our credentials.
        """
        if self.judgement is not None:
            return
        own = await self._log.origin(TOPIC)
        judgement = await self._judge(own, sink.newest_of(TOPIC, self._gateway.id.encode()))
        if judgement.verdict in {Verdict.RESTORED, Verdict.COPIED}:
            own = await self._fork(own, judgement, restored_log)
        else:
            await self._log.compared()
        if judgement.verdict is Verdict.UNKNOWN:
            text = f"cannot tell whether this log is a copy: {judgement.reason}"
            self._event(SystemEventKind.IDENTITY_UNKNOWN, text, {"log_id": own.log_id, "reason": judgement.reason})
        self.judgement = judgement
        self._told = self._run(own, judgement.verdict)
        self._outbox.post([self._encoder.gateway_run(self._told)])

    def tell_again(self) -> None:
        """Tell the run to a cluster that took the place of the one it was told to: that knows of none of ours."""
        if self._told is not None:
            self._outbox.post([self._encoder.gateway_run(self._told)])

    async def decide(self, *, adopt: bool) -> int:
        """Send what waits, marked, or give it up; how many records."""
        records = await (self._log.adopt() if adopt else self._log.discard())
        if records:
            kind = SystemEventKind.LOG_ADOPTED if adopt else SystemEventKind.LOG_DISCARDED
            done = "are sent, marked possibly_repeated" if adopt else "were discarded"
            self._event(kind, f"{records} records of a restored or copied log {done}", {"count": records})
        return records

    async def _judge(self, own: Origin, newest: NewestOf) -> Judgement:
        try:
            found = await self._read(newest, own)
        except Unreachable:
            raise
        except NotReady as error:
            if isinstance(error, BrokerUnreachable) and not error.others:
                raise  # nothing could be sent either
            self._refusals += 1
            self._refused_since_s = self._refused_since_s or time.monotonic()
            if self._refusals < _MOST_REFUSALS and time.monotonic() - self._refused_since_s < _LONGEST_REFUSED_S:
                raise
            found = CannotTell(error.reason)
        if isinstance(found, CannotTell):
            # What the file itself says of its age needs no upstream.
            return judge(own, "", None) if own.behind else Judgement(Verdict.UNKNOWN, found.reason)
        if found.value is None:
            return judge(own, self._machine, None)
        try:
            upstream = GatewayRun.model_validate_json(found.value)
        except ValueError:
            return Judgement(Verdict.UNKNOWN, f"cannot read the record at offset {found.offset} of {TOPIC}")
        return judge(own, self._machine, upstream)

    async def _read(self, newest: NewestOf, own: Origin) -> Newest | CannotTell:
        count = await newest.partition_count()
        if isinstance(count, CannotTell):
            self._absences += 1
            if count.may_not_read or (own.told_at < 0 and self._absences >= _MOST_ABSENCES):
                return count
            raise NotReady(count.reason)
        partition = await self._log.assign_partition(TOPIC, count)
        return await newest.read(partition, max(own.told_at, 0), _MOST_BYTES)

    async def _fork(self, own: Origin, judgement: Judgement, restored_log: RestoredLog) -> Origin:
        records = await self._log.fork(Standing.WAITS if restored_log == "wait" else Standing.MARKED)
        forked = await self._log.origin(TOPIC)
        what = (
            "are held until `tidegate log adopt` or `tidegate log discard`"
            if restored_log == "wait"
            else "are sent, marked possibly_repeated"
        )
        text = f"log {own.log_id} is {judgement.verdict}: {judgement.reason}; {records} records of it {what}"
        log.error("%s; new records use log id %s", text, forked.log_id)
        data = {"log_id": forked.log_id, "old_log_id": own.log_id, "count": records, "reason": judgement.reason}
        self._event(SystemEventKind.LOG_RESTORED, text, data | {"verdict": judgement.verdict.value})
        return forked

    def _run(self, own: Origin, verdict: Verdict) -> GatewayRun:
        return GatewayRun(
            gateway_id=self._gateway.id,
            site_id=self._gateway.site,
            log_id=own.log_id,
            run=own.run,
            machine_id=self._machine,
            first_seq=own.first_seq,
            log_first_seq=own.log_first_seq,
            version=__version__,
            at=datetime.now(UTC),
            identity=verdict.value,
        )

    def _event(self, kind: SystemEventKind, text: str, data: dict[str, object]) -> None:
        self._events.post(kind, Severity.WARNING, source="log", text=text, data=data)
