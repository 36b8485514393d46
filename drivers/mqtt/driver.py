"""The MQTT driver: batches out of a session, acknowledged in order once they are on disk.

`run` is one connection. It raises NotReady when that cannot be made or is lost, and the supervisor runs it again
after its wait of 1 to 5 s; the session at the broker, and what this object knows of it, live on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING

from drivers.mqtt.answers import Answers
from drivers.mqtt.connection.client import SessionClient
from drivers.mqtt.connection.lifetimes import Lifetimes
from drivers.mqtt.connection.refusals import where
from drivers.mqtt.connection.session import Session
from drivers.mqtt.connection.subscribed import Subscribed
from drivers.mqtt.connection.subscriptions import Subscriptions
from drivers.mqtt.delivery.backlog import Backlog
from drivers.mqtt.delivery.handled import Handled
from drivers.mqtt.delivery.marks import Marks
from drivers.mqtt.delivery.outstanding import MOST_OUTSTANDING, Batch, Outstanding
from drivers.mqtt.delivery.undecided import Undecided
from drivers.mqtt.delivery.window import STOP_S, Full, Window
from drivers.mqtt.readings import observe
from drivers.mqtt.stats import MqttStats
from drivers.mqtt.topics.routes import Routes
from drivers.values import NotReady, Receipted

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.mqtt.delivery.handled import Taken
    from drivers.mqtt.packets import Received
    from drivers.mqtt.settings import MqttSettings
    from drivers.mqtt.topics.sources import Tally
    from drivers.values import Emit, Observation, Receipts

log = logging.getLogger("tidegate.mqtt")

_DRAIN_S = 2.0
_RECALL_S = 2.0
"""A disk that hangs must not keep us from connecting; what comes again may then be taken twice."""


class MqttDriver:
    """One connection to one broker: readings in, local messages out (drivers.Driver)."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client: type[SessionClient] = SessionClient,
        receipts: Receipts | None = None,
        hurry: Callable[[], None] = lambda: None,
        read: Callable[..., tuple[list[Observation], int]] = observe,
    ) -> None:
        """Check the settings; nothing is opened. `receipts` gives back those that batches of an earlier run had.

        `hurry` is called if nothing more can come until what was emitted is on disk. `read` makes observations.

        Raises:
            Misconfigured: a subscription cannot work; `field` says which part of it.
        """
        self._settings = settings
        self._client = client
        self._routes = Routes(settings)
        self._subscribed = Subscribed(settings)
        self._subscriptions = Subscriptions(settings.name, self._subscribed)
        self._held: set[int] = set()
        self._handled = Handled()
        self._undecided = Undecided(self._is_undecided, self._take)
        self._backlog = Backlog()
        self._marks = Marks()
        self._receipts = receipts
        self._hurry = hurry
        self._read = read
        self.window = Window()
        self._full = Full(self.window, hurry, settings.gather_s + STOP_S)
        self._begun: Session | None = None
        self._outstanding = Outstanding()
        self._session: Session | None = None
        self._emit: Emit | None = None
        self._failed: asyncio.Future[None] | None = None
        self._subscriptions_stand = False
        self._answers = Answers()
        self._lifetimes = Lifetimes(settings)
        self._changing = asyncio.Lock()
        self.stats = MqttStats()
        self.on_connect: Callable[[], None] | None = None
        """Called at each connect, once the subscriptions stand."""
        self.on_session_lost: Callable[[], None] | None = None
        """Called when the broker turns out to have lost the session, before anything is written of the new one."""

    @property
    def connected(self) -> bool:
        """Whether the connection stands and its subscriptions are made, so that nothing published now is missed."""
        return self._subscriptions_stand and self._session is not None and self._session.connected

    @property
    def unsteady(self) -> str:
        """That connections end soon after they are made, again and again, and what may be behind it; else empty."""
        session = self._session
        since = session.connected_at if session is not None and session.connected else None
        return self._lifetimes.unsteady(since, asyncio.get_running_loop().time())

    def by_subscription(self) -> dict[str, Tally]:
        """What each topic pattern brought, added up over subscriptions that share it; "" is what matched none."""
        return self._routes.by_subscription()

    async def run(self, emit: Emit) -> None:
        """Connect, subscribe, and hand over what comes until cancelled or disconnected.

        Cancelled, it gives batches that are under way two seconds to get to disk and be acknowledged.

        Raises:
            NotReady: the broker is not there, or the connection is lost.
            Misconfigured: the broker refuses this client, TLS cannot work, or the broker says that another client
                has the same id.
        """
        self._emit = emit
        self._failed = asyncio.get_running_loop().create_future()
        session = Session(self._settings, self._client(self._settings, self._held), self._undecided.come)
        try:
            await self._subscribed.load()
            await self._recall()
            self._session = session
            await self._connect(session)
            await asyncio.wait([session.ended, self._failed], return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            session.ended.result()
        except asyncio.CancelledError:
            await self._drain(session)
            raise
        except NotReady as lost:
            if not session.ended.done():
                raise
            if session.connected_at:
                self._lifetimes.ended(session.connected_at, asyncio.get_running_loop().time())
            why = session.ended.exception() or lost  # whatever was waited for, this is why
            if isinstance(why, NotReady) and self.unsteady:
                raise NotReady(self.unsteady) from why
            raise why from None
        finally:
            self.stats.disconnects += session.connected_at > 0
            session.close()
            self._undecided.drop()
            self._session = None
            self._subscriptions_stand = False
            self._failed.cancel()

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish on the same connection; done once the broker has acknowledged (QoS 0: once it is sent).

        Raises:
            NotReady: at once when not connected, or when the connection ends first. It may have arrived then.
        """
        if self._session is None:
            raise NotReady(f"{where(self._settings)} is not connected")
        await self._session.publish(topic, payload, qos=qos, retain=retain)

    async def reconfigure(self, settings: MqttSettings) -> bool:
        """Take new settings. True: they hold now, on the connection that stands, and no other reading was lost.

        Only subscriptions and known sensors can change so; False: nothing was changed, a new driver must be made.

        Raises:
            Misconfigured: a subscription cannot work; nothing was changed.
        """
        old = self._settings
        if dataclasses.replace(settings, subscriptions=old.subscriptions, sensors=old.sensors) != old:
            return False
        routes = Routes(settings, self._routes.tallies, self._routes.codecs)
        async with self._changing:
            leaving = tuple(gone for gone in self._settings.subscriptions if gone not in settings.subscriptions)
            self._settings = settings
            session = self._session
            if session is None or not session.connected:
                self._routes = routes
                return True
            # Until the broker has let go of what is removed, its messages are still readings.
            both = dataclasses.replace(settings, subscriptions=settings.subscriptions + leaving)
            self._routes = Routes(both, {**self._routes.tallies, **routes.tallies}, routes.codecs)
            try:
                await self._match(session, routes.filters)
            except NotReady as lost:
                log.info("%s: the new subscriptions are made at the next connect: %s", self._settings.name, lost)
            finally:
                self._routes = routes
        return True

    async def _recall(self) -> None:
        """Learn once, before anything can come, what an earlier run has handed over."""
        recall, self._receipts = self._receipts, None
        if recall is None:
            return
        try:
            async with asyncio.timeout(_RECALL_S):
                receipts = await recall(self._subscribed.name)
            self._handled.recall(self._subscribed.session, receipts)
            self._marks.recall(receipts)
        except ValueError:
            self._forget()  # not as we write them: nothing of it is to be believed
        except TimeoutError:
            log.warning("%s: the log does not respond: redelivered messages may be stored twice", self._settings.name)

    def _begin(self, session: Session) -> None:
        """Once a connection, at its first message at the latest."""
        if self._begun is not session:
            self._begun = session
            self.window.begin()
            self._handled.begin(kept=session.kept)
            self._marks.begin()
            self._subscribed.session = self._handled.session

    async def _connect(self, session: Session) -> None:
        present = await session.open()
        self._begin(session)
        self.stats.connects += 1
        if not session.retains and self.stats.connects == 1:
            log.warning(
                "%s: the broker keeps no retained messages: clients that connect later do not see raised alerts",
                self._settings.name,
            )
        if not present:
            if self._subscribed.filters:  # there was one, in this run or in an earlier one
                self._session_lost()
            self._held.clear()
        if present and self._routes.filters.items() <= self._subscribed.filters.items():
            # The session has them. They are asked for again after what it has queued: until then RETAIN says nothing.
            self._stand(session)
            await self._read_queued(session)
        async with self._changing:
            if not present:
                self._subscriptions.forget()
            await self._match(session, self._routes.filters)
        if not self._subscriptions_stand:
            self._stand(session)
        if session.backlog:  # something new was asked for at once, and what was queued still comes
            await self._read_queued(session)

    async def _read_queued(self, session: Session) -> None:
        await self._backlog.until_over(
            lambda: (sum(self.stats.received), self._outstanding.messages),
            while_=lambda: session.connected and self._failed is not None and not self._failed.done(),
        )
        session.backlog = False

    def _stand(self, session: Session) -> None:
        session.renumber()
        self._subscriptions_stand = True
        if self.on_connect is not None:
            self.on_connect()

    def _session_lost(self) -> None:
        if not self.stats.sessions_lost:  # once, then counted
            log.warning(
                "%s: the broker no longer has our session: what it held for us is lost (does it keep sessions over a "
                "restart, and for as long as we are away?)",
                self._settings.name,
            )
        self.stats.sessions_lost += 1
        self._routes.forget()
        if self.on_session_lost is not None:
            self.on_session_lost()

    async def _match(self, session: Session, wanted: dict[str, int]) -> None:
        try:
            await self._subscriptions.match(session, wanted)
        finally:
            self.stats.refused = self._subscriptions.refused

    def _is_undecided(self, received: Received) -> bool:
        if self._session is None or not received.messages:
            return False
        self._begin(self._session)
        return self._handled.undecided(received)

    def _take(self, received: Received) -> None:
        """One read of the socket: one batch."""
        session, emit, stats = self._session, self._emit, self.stats
        if session is None or emit is None:
            return
        stats.receive(received.by_qos, received.redelivered)
        self._begin(session)
        if received.retained and session.kept and not session.asked:
            self._backlog.take_retain_off(received)
        taken, known, receipt = self._recognise(received, queued=session.backlog)
        if not received.messages and not received.acknowledgements:
            return
        name = f"mqtt:{self._settings.name}"
        batch, unreadable = self._read(received.messages, self._routes, name, queued=session.backlog)
        stats.observe(len(batch), unreadable)
        if receipt or received.earlier:
            earlier, _ = self._read(received.earlier, self._routes, name, queued=True)
            batch = Receipted(batch, (self._subscribed.name, receipt) if receipt else None, earlier)
        stats.answers += self._answers.publish(session, self._routes.answers)
        if batch or received.earlier:
            stats.batches += 1
            try:
                done: asyncio.Future[None] = asyncio.ensure_future(emit(batch))
            except Exception as error:  # noqa: BLE001 - in a loop's callback nobody else would see it; run() raises it
                self._fail(error)
                return
        else:
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
        under_way = received.by_qos[1] + received.by_qos[2]
        count = len(received.messages)
        self._outstanding.add(Batch(done, session, received.acknowledgements, count, taken, known > 0, under_way))
        stats.outstanding = self._outstanding.messages
        done.add_done_callback(self._settle)
        if under_way:
            self.window.came(under_way)
            self._full.watch()
        if stats.outstanding >= MOST_OUTSTANDING and not session.paused:
            stats.pauses += 1
            session.pause()

    def _recognise(self, received: Received, *, queued: bool) -> tuple[Taken, int, bytes]:
        """Take out what was handed over before: by packet id, and how many in all; and the receipt of the rest."""
        taken = self._handled.take(received)
        known, receipt = taken.known, taken.receipt
        if self._routes.marked:
            same, marks = self._marks.take(received, self._routes, queued=queued)
            known, receipt = known + same, receipt + marks
        self.stats.recognised += known
        self.stats.suspected = self._handled.suspected
        return taken, known, receipt

    def _settle(self, _done: object) -> None:
        """Acknowledge what is on disk, from the front: PUBACKs go out in the order in which messages came."""
        ready = bytearray()
        settled: list[Batch] = []
        session = self._session
        for batch in self._outstanding.settled():
            if batch.done.cancelled():
                self._forget()
                continue
            error = batch.done.exception()
            if error is not None:
                self._fail(error)
            elif batch.session is session:
                ready += batch.acknowledgements
                settled.append(batch)
        self.stats.outstanding = self._outstanding.messages
        if session is None:
            return
        if ready and session.connected:
            self.stats.acknowledged += len(ready) // 4
            session.acknowledge(bytes(ready))
            for batch in settled:
                self._handled.acknowledged(batch.taken)
            self.window.acknowledged(sum(batch.under_way for batch in settled))
        if session.paused and self.stats.outstanding < MOST_OUTSTANDING // 2:
            session.resume()

    def _fail(self, error: BaseException) -> None:
        """A batch was not taken: end the run, so that the broker delivers it again."""
        self._forget()
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    def _forget(self) -> None:
        """A batch was not taken: what is in it must come again, and not be acknowledged as a repetition meanwhile."""
        self._held.clear()
        self._handled.forget()
        self._marks.forget()
        self._outstanding.forget()

    async def _drain(self, session: Session) -> None:
        session.stop_reading()
        if self._outstanding.messages:
            self._hurry()
        await self._outstanding.drain(_DRAIN_S)
        await session.leave()
