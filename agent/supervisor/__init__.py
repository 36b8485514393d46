"""Supervision: every running thing is a named unit with a stage and a policy; plug-ins raise, this decides."""

from agent.supervisor.supervisor import Supervisor
from agent.supervisor.unit import EssentialUnitFailed, Policy, Stage, State, Unit, UnitReport

__all__ = ["EssentialUnitFailed", "Policy", "Stage", "State", "Supervisor", "Unit", "UnitReport"]
