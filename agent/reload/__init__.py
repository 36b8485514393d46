"""Starting is reloading from nothing: one path from a document to running units."""

from agent.reload.applied import Applied, LastGood
from agent.reload.choice import Choice, choose
from agent.reload.reload import Hooks, Reload
from agent.reload.topology import Change, Part, Planned, Topology

__all__ = ["Applied", "Change", "Choice", "Hooks", "LastGood", "Part", "Planned", "Reload", "Topology", "choose"]
