"""`http`: metrics and health over TCP."""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.values import Host, Section


class Http(Section):
    """Metrics and health over TCP. Loopback unless told otherwise; nothing can be changed from there."""

    host: Host = Field(
        default="127.0.0.1", description="Address to listen on; `0.0.0.0` allows a Prometheus on another machine."
    )
    port: int = Field(
        default=9464,
        ge=0,
        le=65535,
        description="TCP port; 0 uses a free one and writes it to `runtime_dir/http.port`.",
    )
