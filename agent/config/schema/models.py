"""`models`: what looks at frames."""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.values import FilePath, Name, Section


class Model(Section):
    """One model."""

    name: Name = Field(description="The name by which cameras ask for it; its unit is `model:NAME`.")
    path: FilePath = Field(description="Folder with its `model.json` and file; `package:fish/1` is included.")
    threads: int = Field(default=1, ge=1, le=64, description="Threads for one inference.")
    score_threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Detections below this score are dropped; the model's own threshold if not set.",
    )
