"""How good a reading is, judged one reading at a time. Pure: values and times in, verdicts out.

Q1  A verdict stands beside its reading; the value is never changed. What judges is configured by sensor; a sensor of
    which `quality` says nothing is only held against the range of its kind, and is `unjudged` inside of it.
Q2  A value outside of its sensor's range is `bad`: a fault of the sensor and no limit's alarm, with an alarm of its
    own. Every other doubt is `suspect`, and limits still count.
Q3  A sudden change that a neighbour shows too is of the water, and `good`. If the two differ, the one with a doubt of
    its own is suspect, else both are.
Q4  A limit that a suspect reading crosses raises its alarm at once, which says that the probe is suspected. It is a
    warning instead only as long as a neighbour without a doubt, fresh and not frozen, is inside the limit.
Q5  Late readings, and those whose time is in doubt, are held against the range only.
"""

from agent.farm.quality.ranges import PLAUSIBLE, plausible
from agent.farm.quality.sensor import QualitySettings, SensorJudge
from agent.farm.quality.verdicts import RANGE, SAID, UNJUDGED, Verdict, verdict_of

__all__ = [
    "PLAUSIBLE",
    "RANGE",
    "SAID",
    "UNJUDGED",
    "QualitySettings",
    "SensorJudge",
    "Verdict",
    "plausible",
    "verdict_of",
]
