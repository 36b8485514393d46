"""The shipper's rules as they are, and with one of them taken out: each must then show a counterexample."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sync.shipper.decisions.moves import Again, Aged, LookUp, Recall, Settle
from sync.shipper.decisions.stream import Phase, begin, step
from sync.values import Accepted, Forgotten, Known, Refused, Unknown
from tests.support.exploration.world import NOT_NOTED, STREAM, Block, Disk, Request

if TYPE_CHECKING:
    from sync.shipper.decisions.moves import Event
    from sync.shipper.decisions.stream import State, Step
    from sync.values import Batch


class Rules:
    """As they are."""

    barrier = True
    marks = True

    def begin(self, unsettled: Batch | None) -> Step:
        return begin(STREAM, unsettled)

    def step(self, state: State, event: Event) -> Step:
        return step(state, event)

    def leaves(self, request: Request, next_id: int) -> Request:
        return request

    def kept(self, disk: Disk) -> Disk:
        """What a kill leaves of the disk."""
        return disk._replace(noted=NOT_NOTED)


class WithoutLease(Rules):
    """D1 out: the lease is not on disk when the batch leaves."""

    def kept(self, disk: Disk) -> Disk:
        if disk.lease is None:
            return super().kept(disk)
        block = Block(disk.lease.first, disk.lease.last, disk.lease.marked)
        return disk._replace(noted=NOT_NOTED, lease=None, blocks=(block, *disk.blocks))


class WithoutAcknowledgement(Rules):
    """D2 out: a batch without an answer counts as sent."""

    def step(self, state: State, event: Event) -> Step:
        return step(state, Accepted(-1) if isinstance(event, Unknown) else event)


class WithoutSameId(Rules):
    """The same id out: each time that a batch leaves, it has an id of its own."""

    def leaves(self, request: Request, next_id: int) -> Request:
        return request._replace(producer=next_id, base=0)


class WithoutLookUp(Rules):
    """D6 out: what may have been taken goes again as if it were not there."""

    def begin(self, unsettled: Batch | None) -> Step:
        return self._blind(begin(STREAM, unsettled))

    def step(self, state: State, event: Event) -> Step:
        return self._blind(step(state, event))

    def _blind(self, made: Step) -> Step:
        state, actions = made
        if state.phase is Phase.LOOK_UP and state.refusal is None and isinstance(actions[0], LookUp):
            state, actions = step(state, Known(actions[0].batch.claim.base_sequence - 1))
            return replace(state, unanswered=False), actions
        return made


class WithoutBarrier(Rules):
    """F7's barrier out: a look-up counts what is not replicated yet."""

    barrier = False


class WithoutLookUpAfterRefusal(Rules):
    """D4's look-up out: a refusal counts although an earlier attempt had no answer."""

    def step(self, state: State, event: Event) -> Step:
        return step(replace(state, unanswered=False) if isinstance(event, Refused) else state, event)


class WithoutOrder(Rules):
    """D9's order out: what an earlier run leased waits until this run's id has sent the rest."""

    def kept(self, disk: Disk) -> Disk:
        if disk.lease is None:
            return super().kept(disk)
        block = Block(disk.lease.first, disk.lease.last, disk.lease.marked)
        return disk._replace(noted=NOT_NOTED, lease=None, blocks=(*disk.blocks, block))


class WithoutHistory(Rules):
    """Half of D7 out: only the batch itself goes again, and nothing of what went before it."""

    def step(self, state: State, event: Event) -> Step:
        state, actions = step(state, event)
        if actions and isinstance(actions[0], Again):
            actions = (replace(actions[0], last_sequence=None),)
        return state, actions


class WithoutRecall(Rules):
    """D15 out: a batch that stands lower than what was acknowledged before is settled like any other."""

    def begin(self, unsettled: Batch | None) -> Step:
        return self._settled(begin(STREAM, unsettled))

    def step(self, state: State, event: Event) -> Step:
        return self._settled(step(state, event))

    def _settled(self, made: Step) -> Step:
        state, actions = made
        return state, tuple(
            Settle(action.batch, action.offset) if isinstance(action, Recall) else action
            for action in actions
            if not isinstance(action, Recall) or action.settles
        )


class WithoutEnd(Rules):
    """Half of D15 out: of a batch that was looked up nobody asks where the partition ends."""

    def step(self, state: State, event: Event) -> Step:
        return step(state, Known(event.last_sequence) if isinstance(event, Known) else event)


class WithoutMark(Rules):
    """The mark out: what may stand twice does not say so."""

    marks = False


class WithoutAge(Rules):
    """The five minutes out: only a new run looks up, whatever the time since the last attempt."""

    def step(self, state: State, event: Event) -> Step:
        if isinstance(event, Aged):
            return step(replace(state, unanswered=False), event)
        return step(state, event)


class WithoutReadBack(Rules):
    """The read-back out: of an id that is forgotten the broker is asked again and again."""

    def step(self, state: State, event: Event) -> Step:
        if state.phase is Phase.LOOK_UP and isinstance(event, Forgotten) and state.batch is not None:
            return state, (LookUp(state.batch),)
        return step(state, event)
