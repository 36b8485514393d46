"""The composition: from a path to a running daemon."""

from agent.app.daemon import run

__all__ = ["run"]
