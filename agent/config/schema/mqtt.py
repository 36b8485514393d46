"""`mqtt`: connections to MQTT brokers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from agent.config.schema.subscriptions import Subscription  # noqa: TC001 - pydantic evaluates annotations
from agent.config.schema.values import FilePath, Host, Name, Section, Text, as_text


class Tls(Section):
    """TLS of an MQTT connection."""

    ca_file: FilePath | None = Field(
        default=None,
        description="PEM file of the CA that signed the broker's certificate; the system's own if not set.",
    )
    cert_file: FilePath | None = Field(default=None, description="PEM file of this gateway's certificate.")
    key_file: FilePath | None = Field(default=None, description="PEM file of that certificate's key.")
    insecure_skip_verify: bool = Field(
        default=False, description="Accept any certificate. Only during installation, for a broker on the same wire."
    )


class Mqtt(Section):
    """One MQTT connection."""

    name: Name = Field(description="Name of the connection; its unit is `mqtt:NAME`.")
    host: Host = Field(default="127.0.0.1", description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65535, description="TCP port of the broker; 8883 is usual with TLS.")
    version: Annotated[Literal["3.1.1", "5"], BeforeValidator(as_text)] = Field(
        default="5", description="MQTT version; use 3.1.1 only if the broker does not support 5."
    )
    local: bool = Field(
        default=False,
        description="Alerts are published on this connection. Exactly one connection must be `true`.",
    )
    client_id: Name | None = Field(
        default=None, description="Name of the session at the broker; `tidegate-GATEWAY-NAME` if not set."
    )
    username: Text | None = Field(default=None, description="User name.")
    password_file: FilePath | None = Field(default=None, description="File that holds the password, in one line.")
    tls: Tls | None = Field(default=None, description="TLS is used if this section is present.")
    keepalive_s: int = Field(
        default=30, ge=5, le=3600, description="MQTT keepalive: how soon a dead connection is noticed."
    )
    session_expiry_s: int = Field(
        default=7 * 86_400,
        ge=0,
        le=0xFFFFFFFF,
        description="MQTT 5: how long the broker keeps messages while the gateway is disconnected.",
    )
    receive_maximum: int = Field(
        default=65_535,
        ge=1,
        le=65_535,
        description="MQTT 5: most unacknowledged messages; at least `log_stall_s` times the readings a second.",
    )
    subscriptions: list[Subscription] = Field(default=[], description="Topics to subscribe to.")
