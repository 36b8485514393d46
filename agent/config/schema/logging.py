"""`logging`: what goes to the journal."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.config.schema.values import Section


class Logging(Section):
    """Messages in the journal."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    format: Literal["text", "json"] = Field(
        default="text", description="`text` for people, `json` for log collectors."
    )
