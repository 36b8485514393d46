"""`models`: what looks at frames."""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.values import FilePath, Name, Section


class Model(Section):
    """One model."""

    name: Name = Field(description="The name by which cameras ask for it; its unit is `model:NAME`.")
    path: FilePath = Field(
        description="Folder that holds its `model.json` and file; `package:fish/1` is one that is shipped."
    )
    threads: int = Field(default=1, ge=1, le=64, description="Threads that one look may use.")
    score_threshold: float | None = Field(
        default=None, gt=0, lt=1, description="Detections below this score are left out; the model's own if not set."
    )
