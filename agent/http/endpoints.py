"""What is answered. TCP gets what may be read; the unix socket also gets what changes something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, Response

from agent.http.farm import add_farm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from agent.http.farm import FarmFigures


_READ = ["GET", "HEAD"]
"""Load balancers and monitors ask with HEAD too: the status and headers of GET, without a body."""


class Health(Protocol):
    """What the hub knows about itself. Reads memory only, so that a dead disk cannot hold an answer up."""

    def live(self) -> bool:
        """Whether loop and supervision answer."""

    def ready(self) -> Sequence[str]:
        """Why the daemon does not do its job; empty where it does."""

    def detailed(self) -> dict[str, Any]:
        """Units, lanes, connections, documents: JSON, without secrets."""

    def metrics(self) -> tuple[bytes, str]:
        """The metrics page and its content type."""

    def business_metrics(self) -> tuple[bytes, str]:
        """The farm's part of it, and its content type."""

    @property
    def farm(self) -> FarmFigures:
        """What is known of the farm."""

    def decide_log(self, *, adopt: bool) -> Awaitable[dict[str, Any]]:
        """Send what waits of a restored or copied log, or give it up; how many records."""

    def acknowledge(self, alert_id: str, by: str, snooze_s: float | None) -> bool:
        """Somebody has seen a raised alert; whether there is such a one."""

    def reload(self) -> Awaitable[dict[str, Any]]:
        """Look at config.yaml again and say what became of it."""


def build_app(health: Health, *, control: bool) -> FastAPI:
    """The endpoints; `control` adds the verbs that change something, for the unix socket alone."""
    app = FastAPI(title="tidegate", docs_url=None, redoc_url=None, openapi_url=None)

    @app.api_route("/metrics", methods=_READ)
    async def metrics() -> Response:
        page, content_type = health.metrics()
        return Response(page, headers={"content-type": content_type})

    @app.api_route("/health/live", methods=_READ)
    async def live() -> JSONResponse:
        alive = health.live()
        return JSONResponse({"live": alive}, 200 if alive else 503)

    @app.api_route("/health/ready", methods=_READ)
    async def ready() -> JSONResponse:
        reasons = list(health.ready())
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    @app.api_route("/health/detailed", methods=_READ)
    async def detailed() -> JSONResponse:
        return JSONResponse(health.detailed())

    add_farm(app, health.farm, health, control=control)
    if control:

        @app.post("/reload")
        async def reload() -> JSONResponse:
            report = await health.reload()
            return JSONResponse(report, 409 if report["outcome"] == "refused" else 200)

        @app.post("/alerts/acknowledge")
        async def acknowledge(
            alert_id: str,
            by: Annotated[str, Query(min_length=1, max_length=64)],
            snooze_s: Annotated[float | None, Query(gt=0, le=86_400)] = None,
        ) -> JSONResponse:
            found = health.acknowledge(alert_id, by, snooze_s)
            return JSONResponse({"found": found}, 200 if found else 404)

        @app.post("/log/adopt")
        async def adopt() -> JSONResponse:
            return JSONResponse(await health.decide_log(adopt=True))

        @app.post("/log/discard")
        async def discard() -> JSONResponse:
            return JSONResponse(await health.decide_log(adopt=False))

    return app
