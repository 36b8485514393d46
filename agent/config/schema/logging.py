"""`logging`: what goes to the journal."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.config.schema.values import Section


class Logging(Section):
    """What goes to the journal."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least that is said.")
    format: Literal["text", "json"] = Field(default="text", description="Lines for people, or for log collectors.")
