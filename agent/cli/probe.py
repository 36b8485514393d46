"""`tidegate probe`: what devices a broker has, and a configuration for them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from agent.cli import MISTAKEN, NOT_WELL


@click.command()
@click.argument("broker", default="127.0.0.1:1883")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 86_400), default=60.0, show_default=True, help="How long to listen."
)
@click.option(
    "--topic", "topics", multiple=True, help="What to listen to; everything (#) if not set. May be repeated."
)
@click.option("--mqtt", type=click.Choice(["3.1.1", "5"]), default="5", show_default=True, help="Version of MQTT.")
@click.option("--username", help="Name to log in with.")
@click.option("--password-file", type=click.Path(path_type=Path), help="File that holds the password, in one line.")
@click.option(
    "--ca-file", type=click.Path(path_type=Path), help="Use TLS; PEM file of the authorities that sign the broker."
)
def probe(  # noqa: PLR0917 - click fills them in by name
    broker: str,
    seconds: float,
    topics: tuple[str, ...],
    mqtt: str,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
) -> None:
    """Listen to BROKER (host or host:port), and write a configuration for the devices that it has.

    The configuration goes to standard output: tidegate probe barge.local > config.yaml. It begins with a list of the
    devices, their channels, units and last values, and passes tidegate check as it is. What could not be known is a
    question in a comment.

    The exit status is 1 if the broker cannot be asked.
    """
    from agent.config.draft import Draft  # noqa: PLC0415 - not for --help
    from drivers.mqtt import MqttSettings, TlsSettings  # noqa: PLC0415 - paho, the same
    from drivers.mqtt.codecs.recognition import Recognition  # noqa: PLC0415 - the same
    from drivers.mqtt.probes.listening import listen  # noqa: PLC0415 - the same
    from drivers.values import Misconfigured, NotReady  # noqa: PLC0415 - the same

    host, port = _address(broker, 8883 if ca_file else 1883)
    settings = MqttSettings(
        name="probe",
        client_id="tidegate-probe",
        site="",
        host=host,
        port=port,
        version="5" if mqtt == "5" else "3.1.1",
        username=username,
        password_file=password_file,
        tls=TlsSettings(ca_file=ca_file) if ca_file else None,
    )
    heard = Recognition()
    click.echo(f"listening to {host}:{port} for {seconds:g} s", err=True)
    try:
        asyncio.run(listen(settings, topics or ("#",), seconds, heard.hear))
    except (NotReady, Misconfigured) as fault:
        click.echo(f"{fault.reason}{fault.hint and f' ({fault.hint})'}", err=True)
        sys.exit(NOT_WELL)
    lines = [f"    version: '{mqtt}'"] if mqtt != "5" else []
    lines += [f"    username: {username}"] if username else []
    lines += [f"    password_file: {password_file.absolute()}"] if password_file else []
    lines += [f"    tls: {{ca_file: {ca_file.absolute()}}}"] if ca_file else []
    click.echo(Draft(heard, seconds=seconds, host=host, port=port, connection=lines).text(), nl=False)
    channels = sum(len(device.channels) for device in heard.devices.values())
    click.echo(
        f"{len(heard.devices)} devices with {channels} channels, {len(heard.unknown)} topics not recognised", err=True
    )


def _address(broker: str, port: int) -> tuple[str, int]:
    host, colon, after = broker.rpartition(":")
    if not colon or "]" in after or (":" in host.strip("[]") and not host.startswith("[")):
        return broker.strip("[]"), port
    if not after.isdecimal() or not 0 < int(after) < 65_536:
        click.echo(f"{broker} is not host:port", err=True)
        sys.exit(MISTAKEN)
    return host.strip("[]"), int(after)
