"""`fleet`: where pushed documents come from."""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.values import Section, TextList, Topic


class Fleet(Section):
    """Where pushed documents come from: one partition of a compacted topic."""

    topic: Topic = Field(
        default="fleet-desired", description="Topic with one configuration for each gateway, keyed by its id."
    )
    partition: int = Field(ge=0, description="The partition that has this gateway's configuration.")
    poll_interval_s: float = Field(default=30.0, gt=0, le=86_400, description="How often to look for a new one.")
    may_change: TextList = Field(
        default=[],
        description="Pinned keys that a push may change after all, such as `kafka.brokers` or `http`. "
        "Anyone who can push can then have a password sent anywhere.",
    )
