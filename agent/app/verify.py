"""What speaks against a document that the schema lets pass: asked before a reload, and by `tidegate check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.app.sources import unusable
from agent.config import Problem
from models.spec import read as read_model
from models.values import Misconfigured

if TYPE_CHECKING:
    from agent.config import Config


def refusals(config: Config) -> list[Problem]:
    """Subscriptions and models that config names and that will never work.

    A start is not refused for them: their units fail, with an alert, and the rest runs.
    """
    problems = unusable(config)
    for number, model in enumerate(config.models):
        try:
            read_model(model.path)
        except Misconfigured as fault:
            problems.append(Problem("", 0, ("models", number, "path"), fault.reason, fault.hint))
    return problems
