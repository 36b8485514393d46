"""`fleet`: where pushed documents come from."""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.values import Section, TextList, Topic


class Fleet(Section):
    """Where pushed documents come from: one partition of a compacted topic."""

    topic: Topic = Field(default="fleet-desired", description="Topic that holds one document a gateway, by its id.")
    partition: int = Field(ge=0, description="The one partition on which this gateway's document comes.")
    poll_interval_s: float = Field(default=30.0, gt=0, le=86_400, description="How often to look for a new one.")
    may_change: TextList = Field(
        default=[],
        description="Keys that a push may change although config.yaml pins them, such as `kafka.brokers` or `http`. "
        "Whoever can push may then have a password sent where they wish.",
    )
