"""What is believed of the clocks: the rules C1 to C7 of sync/log/clock.py, over a clock that the test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sync.log.clock import HOLDS_MS, STANDS_MS, STEP_MS, Clock, Stamp, Timeline
from sync.values import EARLIEST_MS

if TYPE_CHECKING:
    from pathlib import Path

YEAR_MS = 365 * 86_400_000
NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
RUN = 5


class MovedClock(Clock):
    """Stands still but for the test."""

    def __init__(self, *, wall: int = NOW_MS, mono: int = 60_000, said: bool = True, boot: str = "this boot") -> None:
        super().__init__()
        self.boot = boot
        self.wall, self.mono, self.said = wall, mono, said

    def pass_by(self, ms: int) -> None:
        self.wall += ms
        self.mono += ms

    def wall_ms(self) -> int:
        return self.wall

    def mono_ms(self) -> int:
        return self.mono

    def synced(self) -> bool:
        return self.said


def begun(clock: Clock, noted: str | None = None) -> Timeline:
    timeline = Timeline(clock)
    timeline.begin(frozenset({RUN}), noted)
    timeline.look(RUN)
    return timeline


def test_c1_a_clock_is_trusted_while_it_is_said_to_be_synchronised_but_not_before_2024() -> None:
    clock = MovedClock(said=False)
    timeline = begun(clock)
    assert not timeline.trusted
    clock.said = True
    clock.wall = EARLIEST_MS - 1
    timeline.look(RUN)
    assert not timeline.trusted
    clock.wall = EARLIEST_MS
    timeline.look(RUN)
    assert timeline.trusted


def test_c1_a_file_that_is_named_alone_says_whether_the_clock_is_synchronised(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "synchronised")
    assert not clock.synced()
    (tmp_path / "synchronised").touch()
    assert clock.synced()


def test_c2_it_stays_trusted_without_a_time_server_for_a_week_where_nobody_sets_it() -> None:
    clock = MovedClock()
    timeline = begun(clock)
    clock.said = False
    clock.pass_by(HOLDS_MS - 1)
    timeline.look(RUN)
    assert timeline.trusted
    clock.pass_by(2)
    timeline.look(RUN)
    assert not timeline.trusted


def test_c2_set_without_a_time_server_it_is_not_trusted_until_it_is_set_back() -> None:
    clock = MovedClock()
    timeline = begun(clock)
    clock.said = False
    clock.wall += YEAR_MS
    timeline.look(RUN)
    assert not timeline.trusted
    clock.wall -= YEAR_MS
    timeline.look(RUN)
    assert timeline.trusted


def test_c3_a_trusted_clock_that_is_set_is_trusted_again_after_an_hour_or_where_it_goes_back() -> None:
    for by_ms in (YEAR_MS, -YEAR_MS, STEP_MS + 1):
        clock = MovedClock()
        timeline = begun(clock)
        clock.wall += by_ms
        timeline.look(RUN)
        assert not timeline.trusted
        clock.pass_by(STANDS_MS - 1)
        timeline.look(RUN)
        assert not timeline.trusted
        clock.wall -= by_ms
        timeline.look(RUN)
        assert timeline.trusted
        clock.wall += by_ms
        timeline.look(RUN)
        clock.pass_by(STANDS_MS)
        timeline.look(RUN)
        assert timeline.trusted == (clock.wall >= EARLIEST_MS)


def test_c3_a_clock_that_wanders_every_minute_is_never_trusted() -> None:
    clock = MovedClock()
    timeline = begun(clock)
    for _ in range(200):
        clock.wall += 2 * STEP_MS
        clock.pass_by(60_000)
        timeline.look(RUN)
        assert not timeline.trusted


def test_c5_of_another_boot_only_trusted_times_make_an_age_and_never_one_before_the_boot() -> None:
    clock = MovedClock(mono=60_000)
    timeline = begun(clock)
    offset = NOW_MS - 60_000
    assert timeline.taken_ms(Stamp(offset - 1_000, 1, 999, 1)) == -1_000
    assert timeline.taken_ms(Stamp(offset - YEAR_MS, 1, 999, 0)) == 0, "it was not trusted"
    assert timeline.taken_ms(Stamp(NOW_MS + YEAR_MS, 1, 999, 1)) == 0, "it lies in the future"
    clock.wall += YEAR_MS
    clock.pass_by(1_000)
    timeline.look(RUN)
    clock.pass_by(STANDS_MS)
    timeline.look(RUN)
    assert timeline.trusted
    assert timeline.taken_ms(Stamp(offset - 1_000, 1, 999, 1)) == -1_000, "the earliest that was trusted counts"
    untrusted = begun(MovedClock(said=False))
    assert untrusted.taken_ms(Stamp(offset - YEAR_MS, 1, 999, 1)) == 0


def test_c5_when_something_was_done_is_told_only_by_this_boots_clock_or_by_two_that_were_trusted() -> None:
    clock = MovedClock()
    timeline = begun(clock)
    clock.pass_by(HOUR_MS)
    timeline.look(RUN)
    assert timeline.done_ms(Stamp(0, RUN, 61_000, 0)) == 61_000, "no wall clock is asked within a boot"
    assert timeline.done_ms(Stamp(NOW_MS - HOUR_MS, 1, 999, 1)) == 60_000 - HOUR_MS
    assert timeline.done_ms(Stamp(NOW_MS - HOUR_MS, 1, 999, 0)) is None, "the clock of then was not trusted"
    clock.said, clock.wall = False, clock.wall - YEAR_MS
    timeline.look(RUN)
    assert timeline.done_ms(Stamp(NOW_MS - HOUR_MS, 1, 999, 1)) is None, "nor is that of now"


def test_c6_what_another_boot_took_waits_an_hour_before_it_goes_for_its_age() -> None:
    clock = MovedClock(mono=60_000)
    timeline = begun(clock)
    assert timeline.older_than(86_400_000) is None
    clock.pass_by(STANDS_MS)
    timeline.look(RUN)
    assert timeline.older_than(86_400_000) == clock.mono - 86_400_000
    never_set = MovedClock(mono=86_400_001, said=False)
    assert begun(never_set).older_than(86_400_000) == 1, "a boot that lasts so long is older for certain"


def test_c7_what_was_taken_in_the_moment_in_which_the_clock_is_found_set_bears_the_clock_of_before() -> None:
    clock = MovedClock(wall=60_000, said=False)
    timeline = begun(clock)
    assert timeline.now == Stamp(60_000, RUN, 60_000, 0)
    clock.pass_by(1_000)
    clock.wall, clock.said = NOW_MS, True
    timeline.look(RUN)
    assert timeline.trusted
    assert timeline.now == Stamp(61_000, RUN, 61_000, 0)
    assert timeline.right_ms(timeline.now) == NOW_MS
    assert timeline.right_ms(Stamp(60_000, RUN, 60_000, 0)) == NOW_MS - 1_000
    assert timeline.right_ms(Stamp(60_000, 1, 60_000, 0)) is None, "of another boot"
    clock.pass_by(10)
    timeline.look(RUN)
    assert timeline.now == Stamp(NOW_MS + 10, RUN, 61_010, 1)


def test_what_the_clock_of_a_boot_has_said_outlives_the_process_but_not_the_boot() -> None:
    clock = MovedClock()
    first = begun(clock)
    note = first.to_note()
    assert note is not None
    first.noted()
    assert first.to_note() is None, "it is not written again"
    clock.said = False
    clock.pass_by(HOUR_MS)
    assert begun(clock, note).trusted
    assert not begun(clock, "what? {").trusted
    assert not begun(clock, '{"boot": "this boot"}').trusted
    clock.wall += YEAR_MS
    assert not begun(clock, note).trusted
    clock.boot = "another"
    assert not begun(clock, note).trusted


def test_it_is_noted_at_most_once_a_day_while_the_clock_only_runs() -> None:
    clock = MovedClock()
    timeline = begun(clock)
    notes = 0
    for _ in range(3 * 24 * 60):
        if timeline.to_note() is not None:
            notes += 1
            timeline.noted()
        clock.pass_by(60_000)
        timeline.look(RUN)
    assert notes == 3


moves = st.lists(
    st.tuples(
        st.integers(0, 7_200_000), st.sampled_from([0, 0, YEAR_MS, -YEAR_MS, -NOW_MS, 500, -90_000]), st.booleans()
    ),
    max_size=40,
)


@given(moves, st.booleans())
def test_an_age_is_never_more_than_it_was_whatever_the_wall_clock_does(
    moves: list[tuple[int, int, bool]],
    said: bool,  # noqa: FBT001 - as hypothesis gives it
) -> None:
    """C4, C5: blocks of this boot to the millisecond, those of an earlier one never overstated."""
    clock = MovedClock(said=said)
    timeline = begun(clock)
    real_ms = 0
    before_boot = Stamp(NOW_MS - 3_600_000, 1, 42, 1)
    taken: list[tuple[int, Stamp]] = []
    believed_right_first = said
    for passing, set_by, says in moves:
        taken.append((real_ms, timeline.now))
        clock.pass_by(passing)
        real_ms += passing
        clock.wall += set_by
        clock.said = says
        timeline.look(RUN)
        for at, stamp in taken:
            assert clock.mono - timeline.taken_ms(stamp) == real_ms - at
        if believed_right_first:
            assert clock.mono - timeline.taken_ms(before_boot) <= real_ms + 3_600_000
        assert timeline.taken_ms(before_boot) <= 0
