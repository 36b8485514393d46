"""`tidegate fleet-metrics`: what gateways sent of their metrics, as Prometheus wants it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import click

from agent.cli import MISTAKEN, NOT_WELL, options
from agent.cli.audit import cluster

if TYPE_CHECKING:
    from pathlib import Path

    from sync.kafka import KafkaSettings

_TOPIC: Final = "gateway-metrics"
_BACK: Final = 20_000
_EVERY_S: Final = 5.0
_FORGOTTEN_S: Final = 86_400.0


@click.command("fleet-metrics")
@options.config
@click.option("--brokers", help="Where to ask, host:port with commas, without TLS or log-in; no configuration then.")
@click.option("--topic", default=_TOPIC, show_default=True, help="The topic that the gateways write to.")
@click.option("--listen", metavar="HOST:PORT", help="Serve /metrics there until stopped, and keep reading.")
def fleet_metrics(config_path: Path, brokers: str | None, topic: str, listen: str | None) -> None:
    """Print the newest metrics of all gateways in Prometheus' text format, or serve them for a Prometheus to scrape.

    Each sample has the labels `gateway` and `site`. A gateway that has sent nothing for three of its intervals shows
    only `tidegate_gateway_metrics_age_seconds`.
    """
    from sync.values import Misconfigured, NotReady  # noqa: PLC0415 - aiokafka; not for --help

    kafka, _ = cluster(config_path, "fleet", brokers)
    newest = Newest()
    try:
        if listen is None:
            asyncio.run(_read(kafka, topic, newest, for_ever=False))
            sys.stdout.buffer.write(newest.text())
            return
        host, _, port = listen.rpartition(":")
        if not port.isdecimal():
            click.echo(f"--listen must be host:port; {listen} is not", err=True)
            sys.exit(MISTAKEN)
        server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), _handler(newest))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        click.echo(f"serving http://{host or '127.0.0.1'}:{server.server_address[1]}/metrics", err=True)
        asyncio.run(_read(kafka, topic, newest, for_ever=True))
    except (NotReady, Misconfigured) as fault:
        click.echo(f"{topic} cannot be read: {fault.reason}" + (f" ({fault.hint})" if fault.hint else ""), err=True)
        sys.exit(NOT_WELL)
    except OSError as fault:
        click.echo(f"cannot listen on {listen}: {fault.strerror}", err=True)
        sys.exit(NOT_WELL)
    except KeyboardInterrupt:
        return


class Newest:
    """The newest document of each gateway; read by one thread, shown by others."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def take(self, value: bytes) -> None:
        """Take a record; one that is no document of metrics is passed over."""
        try:
            document = json.loads(value)
            at = datetime.fromisoformat(document["at"])
            found = {"at": at, "site": str(document["site_id"]), "every_s": float(document["every_s"])}
            found["values"] = {str(name): list(samples) for name, samples in document["values"].items()}
            gateway = str(document["gateway_id"])
            if at.tzinfo is None:
                return
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        with self._lock:
            known = self._documents.get(gateway)
            if known is None or known["at"] <= at:
                self._documents[gateway] = found

    def text(self) -> bytes:
        """All of them now."""
        from agent.metrics.upstream import Received, text_of  # noqa: PLC0415 - not for --help

        now = datetime.now(UTC)
        with self._lock:
            documents = dict(self._documents)
        ages = {gateway: max(0.0, (now - one["at"]).total_seconds()) for gateway, one in documents.items()}
        return text_of(
            Received(gateway, one["site"], one["every_s"], ages[gateway], one["values"])
            for gateway, one in sorted(documents.items())
            if ages[gateway] < _FORGOTTEN_S
        )


async def _read(kafka: KafkaSettings, topic: str, newest: Newest, *, for_ever: bool) -> None:
    from sync.kafka.follow import Follow  # noqa: PLC0415 - aiokafka; not for --help
    from sync.values import NotReady  # noqa: PLC0415 - likewise

    reading = Follow(kafka, topic, _BACK)
    try:
        while True:
            try:
                async for value in reading.read_on():
                    newest.take(value)
            except NotReady as fault:
                if not for_ever:
                    raise
                click.echo(f"{topic} cannot be read now: {fault.reason}", err=True)
            if not for_ever:
                return
            await asyncio.sleep(_EVERY_S)
    finally:
        await reading.close()


def _handler(newest: Newest) -> type[BaseHTTPRequestHandler]:
    class Page(BaseHTTPRequestHandler):
        """Answers /metrics."""

        def do_GET(self) -> None:
            found = newest.text() if self.path.partition("?")[0] == "/metrics" else None
            self.send_response(404 if found is None else 200)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(found or b"see /metrics\n")

        def log_message(self, *_: object) -> None:
            """A scrape is no event."""

    return Page
