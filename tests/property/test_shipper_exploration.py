"""Every order of events, against the shipper's own decisions (`sync.shipper.decisions.stream`).

Small worlds are explored exhaustively: a disk (D1), a broker that keeps F1 to F4 and F7, that may refuse for a while
or for good and may lose records, a network that may lose a request or its answer or deliver a request late (F6),
and kills of the gateway. What may be wrong with a world, `flaw` says (tests/support/exploration/search.py); and from
every world there is a way to rest. With a rule taken out, the same exploration must find a counterexample: else it
would prove nothing. `python -m tests.shows.explore` goes deeper.
"""

from __future__ import annotations

import pytest

from tests.support.exploration import rules
from tests.support.exploration.scopes import SUITE
from tests.support.exploration.search import explore

MARKS = {
    "an id forgotten, and what stood aged out",
    "reading forbidden",
    "records lost by a change of leader",
    "a topic created again",
}


@pytest.mark.parametrize("name", SUITE)
def test_nothing_is_lost_doubled_unmarked_reordered_or_stuck_in_any_order_of_events(name: str) -> None:
    finding = explore(SUITE[name])
    print(f"{name}: {finding.worlds} worlds, {finding.marked} of them with a record that is marked")
    assert finding.wrong is None, str(finding)
    assert finding.worlds > 5_000, "the world has become too small to prove anything"
    assert (finding.marked > 0) == (name in MARKS), "marked is only what cannot be known"


@pytest.mark.parametrize(
    ("without", "scope", "wrong"),
    [
        (rules.WithoutLease(), "kills and disconnects", "doubled"),
        (rules.WithoutAcknowledgement(), "kills and disconnects", "lost or stuck"),
        (rules.WithoutSameId(), "kills and disconnects", "doubled"),
        (rules.WithoutOrder(), "kills and disconnects", "out of order"),
        (rules.WithoutLookUp(), "an id forgotten", "doubled"),
        (rules.WithoutAge(), "an id forgotten", "doubled"),
        (rules.WithoutReadBack(), "an id forgotten", "never at rest"),
        (rules.WithoutBarrier(), "what is not replicated cut off", "lost or stuck"),
        (rules.WithoutLookUpAfterRefusal(), "a limit that falls", "doubled"),
        (rules.WithoutHistory(), "records lost by a change of leader", "out of order"),
        (rules.WithoutRecall(), "a topic created again", "lost or stuck"),
        (rules.WithoutEnd(), "a topic created again", "lost or stuck"),
        (rules.WithoutMark(), "an id forgotten, and what stood aged out", "doubled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, rules.Rules) else "",
)
def test_the_exploration_finds_what_each_rule_prevents(without: rules.Rules, scope: str, wrong: str) -> None:
    finding = explore(SUITE[scope], without)
    assert finding.wrong is not None, "no counterexample: the exploration would not notice this rule's absence"
    assert finding.wrong == wrong, str(finding)
