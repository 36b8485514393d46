"""The accounting of an audit against a world of which every number's outcome is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.audit import Account, NumberSet

FATES = ("delivered", "removed", "dead", "skipped", "pending", "missing")
spans = st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 40_000)), max_size=12)


@given(spans, st.integers(0, 70_000), st.integers(0, 70_000))
def test_numbers_are_a_set(added, one, other):
    numbers, known = NumberSet(), set()
    for first, length in added:
        numbers.add(first, first + length)
        known.update(range(first, first + length + 1))
    low, high = min(one, other), max(one, other)
    within = {number for number in known if low <= number <= high}
    assert len(numbers) == len(known)
    assert numbers.count(low, high) == len(within)
    assert {n for first, last in numbers.runs(low, high) for n in range(first, last + 1)} == within
    gaps = {n for first, last in numbers.gaps(low, high) for n in range(first, last + 1)}
    assert gaps == set(range(low, high + 1)) - within
    assert (numbers.lowest, numbers.highest) == ((min(known), max(known)) if known else (None, None))


FAR = (1 << 47) - 1
ends = st.one_of(st.integers(0, 200_000), st.integers(FAR - 200_000, FAR), st.integers(0, FAR))
ranges = st.lists(st.tuples(ends, ends).map(sorted), max_size=12)


def covered(parts):
    """Ranges as a union, by their ends alone."""
    union: list[list[int]] = []
    for first, last in sorted(parts):
        if union and first <= union[-1][1] + 1:
            union[-1][1] = max(union[-1][1], last)
        else:
            union.append([first, last])
    return [(first, last) for first, last in union]


@given(ranges, ranges, ends, ends)
def test_ranges_cost_what_their_ends_cost_however_wide_they_are(some, more, one, other):
    numbers, rest = NumberSet(), NumberSet()
    for first, last in some:
        numbers.add(first, last)
    for first, last in more:
        rest.add(first, last)
    low, high = min(one, other), max(one, other)
    for of, parts in ((numbers, some), (numbers | rest, some + more)):
        within = [(max(a, low), min(b, high)) for a, b in covered(parts) if a <= high and b >= low]
        assert list(of.runs(low, high)) == within
        assert of.count(low, high) == sum(b - a + 1 for a, b in within)
        assert covered([*of.gaps(low, high), *within]) == [(low, high)]
        assert of.count(0, FAR) == sum(b - a + 1 for a, b in covered(parts))
        assert (low in of, high in of) == (any(a == low for a, _ in within), any(b == high for _, b in within))


@st.composite
def worlds(draw):
    """The outcome and the lane of every number, and the entries that a log would write about what it removed."""
    outcomes = draw(st.lists(st.tuples(st.sampled_from(FATES), st.integers(0, 2)), min_size=1, max_size=60))
    entries = []
    for lane in range(3):
        entry: list[int] = []
        for number, (outcome, of_lane) in enumerate(outcomes, 1):
            if of_lane != lane:
                continue
            if outcome == "removed":
                entry.append(number)
            # An entry covers what was removed one after the other in a lane, and may end anywhere in it.
            if entry and (outcome != "removed" or draw(st.booleans())):
                entries.append(entry)
                entry = []
        if entry:
            entries.append(entry)
    return [outcome for outcome, _ in outcomes], entries


@given(worlds(), st.randoms(use_true_random=False))
def test_every_missing_number_is_counted_and_no_other(world, order):
    outcomes, entries = world
    account = Account("log", began=1)
    account.reaches(len(outcomes))
    order.shuffle(entries)
    for entry in entries:
        account.lost(entry[0], entry[-1], len(entry), "evicted")
    numbered = list(enumerate(outcomes, 1))
    order.shuffle(numbered)
    for number, outcome in numbered:
        if outcome == "delivered":
            account.record(number, number)
        elif outcome in {"dead", "skipped", "pending"}:
            {"dead": account.dead_lettered, "skipped": account.skipped, "pending": account.pending}[outcome].add(
                number, number
            )
    told = account.statement()
    missing = {number for number, outcome in numbered if outcome == "missing"}
    assert told.missing == len(missing)
    named = {n for first, last in told.missing_ranges for n in range(first, last + 1)}
    assert named <= missing | {number for number, outcome in numbered if outcome == "removed"}
    among = [(first, last) for first, last, _ in told.missing_among]
    # Those that are not named lie in ranges that are.
    assert all(number in named or any(a <= number <= b for a, b in among) for number in missing) or told.by_count
    assert told.removed.get("evicted", 0) == outcomes.count("removed")
    assert told.surplus == 0
    assert (told.delivered, told.pending) == (outcomes.count("delivered"), outcomes.count("pending"))


@given(worlds(), st.data())
def test_an_entry_that_counts_too_much_shows_as_surplus(world, data):
    outcomes, entries = world
    account = Account("log", began=1)
    account.reaches(len(outcomes))
    extra = 0
    for entry in entries:
        more = data.draw(st.integers(0, entry[-1] - entry[0] + 1 - len(entry)))
        extra += more
        account.lost(entry[0], entry[-1], len(entry) + more, "evicted")
    for number, outcome in enumerate(outcomes, 1):
        if outcome not in {"removed", "missing"}:
            account.record(number, number)
    told = account.statement()
    assert told.missing + extra == outcomes.count("missing") + told.surplus


def test_a_second_copy_is_a_duplicate_unless_one_of_the_two_is_marked():
    account = Account("log")
    account.record(1, 10)
    account.record(3, 4)
    account.record(5, 6, marked=True)
    account.record(20, 29, marked=True)
    account.record(20, 24)
    told = account.statement(1, 29)
    assert told.duplicated_ranges == [(3, 4)]
    assert (told.duplicated, told.repeated, told.marked) == (2, 7, 12)
    assert told.missing_ranges == [(11, 19)]
