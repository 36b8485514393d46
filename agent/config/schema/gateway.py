"""`gateway`: who this gateway is."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from agent.config.schema.values import FilePath, Name, Section


class Gateway(Section):
    """Who this gateway is and where it keeps its files."""

    id: Name = Field(description="Name of this gateway, unique in the company; part of every record's `ce_source`.")
    site: Name = Field(description="The farm site; part of every record's key.")
    state_dir: FilePath = Field(
        default=Path("/var/lib/tidegate"),
        description="Folder for what must survive a restart: the log, the last good configuration.",
    )
    runtime_dir: FilePath = Field(
        default=Path("/run/tidegate"),
        description="Folder for what need not: the unix socket `tidegate.sock`, the file `http.port`.",
    )
    machine_id: Name | None = Field(
        default=None,
        description="Distinguishes this machine from one that its disk is copied to; made from /etc/machine-id if "
        "not set. Set it in containers, which often have no machine-id of their own.",
    )
