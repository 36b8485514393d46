"""Quality of readings and rules of alerts: the step beside the limits, and the unit with a clock of its own."""

from agent.pipeline.judging.quality import Judged, Judgement
from agent.pipeline.judging.rules import Rule, RuleBook, RuleWatch

__all__ = ["Judged", "Judgement", "Rule", "RuleBook", "RuleWatch"]
