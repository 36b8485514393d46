"""`mqtt`: connections to MQTT brokers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from agent.config.schema.subscriptions import Subscription  # noqa: TC001 - pydantic evaluates annotations
from agent.config.schema.values import FilePath, Host, Name, Section, Text, as_text


class Tls(Section):
    """TLS of an MQTT connection."""

    ca_file: FilePath | None = Field(
        default=None, description="PEM file of the authorities that sign the broker; the system's own if not set."
    )
    cert_file: FilePath | None = Field(default=None, description="PEM file of this gateway's certificate.")
    key_file: FilePath | None = Field(default=None, description="PEM file of that certificate's key.")
    insecure_skip_verify: bool = Field(
        default=False, description="Take any certificate. For a broker on the same wire during installation only."
    )


class Mqtt(Section):
    """One MQTT connection."""

    name: Name = Field(description="Name of the connection; its unit is `mqtt:NAME`.")
    host: Host = Field(default="127.0.0.1", description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65535, description="TCP port of the broker; 8883 is usual with TLS.")
    version: Annotated[Literal["3.1.1", "5"], BeforeValidator(as_text)] = Field(
        default="5", description="Version of MQTT; 5 unless the broker has none."
    )
    local: bool = Field(
        default=False,
        description="Alerts are published on this connection. Exactly one connection says `true`.",
    )
    client_id: Name | None = Field(
        default=None, description="Name of the session at the broker; `tidegate-GATEWAY-NAME` if not set."
    )
    username: Text | None = Field(default=None, description="Name to log in with.")
    password_file: FilePath | None = Field(default=None, description="File that holds the password, in one line.")
    tls: Tls | None = Field(default=None, description="TLS is used where this section is present.")
    keepalive_s: int = Field(default=30, ge=5, le=3600, description="How soon a dead connection is noticed.")
    session_expiry_s: int = Field(
        default=7 * 86_400,
        ge=0,
        le=0xFFFFFFFF,
        description="MQTT 5: how long the broker keeps messages for us while we are away.",
    )
    receive_maximum: int = Field(
        default=65_535,
        ge=1,
        le=65_535,
        description="MQTT 5: how many messages may wait for our acknowledgement; must last for `log_stall_s`.",
    )
    subscriptions: list[Subscription] = Field(default=[], description="What to listen to.")
