"""What is answered about the farm: figures, how they come about, and events taken in on the unix socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from fastapi import Request  # noqa: TC002 - FastAPI reads the annotations
from fastapi.responses import JSONResponse, Response

from sync.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from fastapi import FastAPI

_READ: Final = ["GET", "HEAD"]
_MOST_BYTES: Final = 16 * 1024 * 1024
_NONE: Final = {"detail": "no farm section is configured"}


class FarmFigures(Protocol):
    """What the hub knows of the farm. All but `record` reads memory only."""

    @property
    def configured(self) -> bool:
        """Whether there is a farm section."""

    def figures(self) -> list[dict[str, Any]]:
        """The newest figures of every tank."""

    def derived(self) -> list[dict[str, Any]]:
        """The newest of each derived quantity."""

    def explain(self, name: str) -> list[dict[str, Any]]:
        """A figure of every tank that has it, with inputs, formula and source."""

    def names(self) -> list[str]:
        """What `explain` can be asked for."""

    def record(self, found: Sequence[Any]) -> Awaitable[list[dict[str, Any]]]:
        """Record events; what became of each. Raises NotReady and Misconfigured."""


class BusinessMetrics(Protocol):
    """The farm's part of the metrics page."""

    def business_metrics(self) -> tuple[bytes, str]:
        """The page and its content type."""


def add_farm(app: FastAPI, farm: FarmFigures, metrics: BusinessMetrics, *, control: bool) -> None:
    """Add the endpoints; `control` adds those that change something."""

    @app.api_route("/business-metrics", methods=_READ)
    async def business_metrics() -> Response:
        page, content_type = metrics.business_metrics()
        return Response(page, headers={"content-type": content_type})

    @app.api_route("/stock", methods=_READ)
    async def stock() -> JSONResponse:
        return JSONResponse({"tanks": farm.figures(), "derived": farm.derived()})

    @app.api_route("/explain/{name}", methods=_READ)
    async def explain(name: str) -> JSONResponse:
        found = farm.explain(name)
        return JSONResponse({"name": name, "tanks": found, "known": farm.names()}, 200 if found else 404)

    if control:

        @app.post("/stock/events")
        async def events(request: Request) -> JSONResponse:
            if not farm.configured:
                return JSONResponse(_NONE, 404)
            if int(request.headers.get("content-length") or 0) > _MOST_BYTES:
                return JSONResponse({"detail": f"more than {_MOST_BYTES // 1024**2} MiB: send fewer events"}, 413)
            try:
                given = await request.json()
            except (ValueError, RecursionError):
                return JSONResponse({"detail": "the body is not JSON"}, 400)
            try:
                answers = await farm.record(given if isinstance(given, list) else [given])
            except (NotReady, Misconfigured) as fault:
                return JSONResponse({"detail": f"{fault.reason} ({fault.hint})"}, 503)
            return JSONResponse({"events": answers})
