"""How much happens in the worlds that are explored: in the suite, and behind `python -m tests.shows.explore`."""

from __future__ import annotations

from tests.support.exploration.world import Scope

SUITE = {
    "kills and disconnects": Scope(records=4, kills=2, faults=2, refusals=1),
    "a poisoned record": Scope(records=4, kills=1, faults=2, refusals=1, poison=2),
    "a limit that falls": Scope(records=4, kills=1, faults=1, shrinks=1),
    "an id forgotten": Scope(records=3, kills=2, faults=1, refusals=1, forgets=1, leaders=1),
    "an id forgotten, and what stood aged out": Scope(records=3, kills=1, faults=1, forgets=1, starts=1),
    "reading forbidden": Scope(records=3, kills=1, faults=1, forgets=1, forbidden=1),
    "what is not replicated cut off": Scope(records=3, kills=1, faults=2, leaders=2),
    "records lost by a change of leader": Scope(records=4, kills=1, faults=1, losses=1),
    "a limit that falls, an id forgotten": Scope(records=3, kills=1, faults=1, forgets=1, leaders=1, shrinks=1),
    "a topic created again": Scope(records=4, kills=1, faults=1, recreations=1),
}

DEEP = {
    "kills and disconnects": Scope(records=5, kills=2, faults=3, refusals=1),
    "an id forgotten": Scope(records=4, kills=2, faults=2, refusals=1, forgets=1, leaders=1),
    "an id forgotten, and what stood aged out": Scope(records=4, kills=2, faults=1, forgets=1, starts=1),
    "reading forbidden": Scope(records=4, kills=2, faults=1, forgets=1, forbidden=1),
    "what is not replicated cut off": Scope(records=4, kills=2, faults=2, leaders=2),
    "records lost by a change of leader": Scope(records=4, kills=2, faults=1, losses=2),
    "a limit that falls, an id forgotten": Scope(records=4, kills=1, faults=2, forgets=1, leaders=1, shrinks=1),
    "a poisoned record": Scope(records=5, kills=2, faults=2, refusals=1, poison=2),
    "a topic created again": Scope(records=5, kills=2, faults=1, recreations=2),
}
