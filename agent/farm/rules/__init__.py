"""Rules of alerts as pure state machines: whether something holds goes in, what to raise or end comes out."""

from agent.farm.rules.condition import Change, Condition
from agent.farm.rules.escalation import Escalation
from agent.farm.rules.forecast import Forecast, Trend
from agent.farm.rules.windows import Window, is_open, window_of

__all__ = ["Change", "Condition", "Escalation", "Forecast", "Trend", "Window", "is_open", "window_of"]
