"""The farm beside the readings: derived quantities, what people record, and the figures made of both."""

from agent.pipeline.farm.dispatch import Dispatch
from agent.pipeline.farm.hours import Hours
from agent.pipeline.farm.register import Register
from agent.pipeline.farm.settings import FarmSettings, ScoreVariable, TankSettings
from agent.pipeline.farm.water import Water

__all__ = ["Dispatch", "FarmSettings", "Hours", "Register", "ScoreVariable", "TankSettings", "Water"]
