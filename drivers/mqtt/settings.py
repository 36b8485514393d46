"""What an MQTT connection needs to know, as the hub fills it from a section of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import ssl
    from pathlib import Path


class CertificateDates(Protocol):
    """Judges the dates of certificates on a machine whose clock may be wrong."""

    def prepare(self, context: ssl.SSLContext) -> None:
        """Called before each handshake; one that fails for a date then raises ssl.SSLCertVerificationError."""


@dataclass(frozen=True, slots=True)
class LayoutField:
    """One value in the raw bytes of an uplink: value = number * scale + offset.

    `type` is u or i with 8, 16, 24 or 32 bits, or f32; `at` is its first byte, from the end if negative. With
    `little` the low byte comes first. `f_port` is the uplink's FPort, any if not set.
    """

    channel: str
    type: str
    at: int
    scale: float = 1.0
    offset: float = 0.0
    little: bool = False
    unit: str | None = None
    f_port: int | None = None


@dataclass(frozen=True, slots=True)
class PayloadSettings:
    """How a payload is read. Paths are those of `drivers.mqtt.codecs`; `at`, `unit`, `counter` are for JSON only.

    `at_zone` is the time zone of times that state none. With `decimal_comma` 7,25 is a number, with `switch` words
    such as ON and OFF are 1 and 0.

    For codecs that give several measurements a message: `each` is the path of a list or object whose members are one
    measurement each; `value`, `unit`, `at` and `name` are paths in a member then, and `name` is its channel. `device`
    is the path of the device's name. `columns` and `delimiter` are those of CSV, `layout` that of raw bytes.
    """

    format: str = "number"
    value: str = "value"
    at: str | None = None
    unit: str | None = None
    counter: str | None = None
    at_zone: str | None = None
    decimal_comma: bool = False
    switch: bool = False
    each: str | None = None
    name: str | None = None
    device: str | None = None
    columns: tuple[str, ...] = ()
    delimiter: str | None = None
    layout: tuple[LayoutField, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Which sensor a channel is: of the device of this name, or of whichever device the subscription brings."""

    channel: str
    sensor_id: str
    device: str | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """One topic pattern, and what its messages are. In the other fields `{x}` is the level of that name.

    A message with several measurements has them by device and channel: `channels` says which sensors they are, and in
    the other fields `{device}` and `{channel}` are their names. What neither names is left out. If a payload is JSON
    with a single value, `{x}` is its field x in `sensor_id`, `sensor_type` and `tank` if the topic has no such level.
    """

    topic: str
    qos: Literal[0, 1] = 1
    payload: PayloadSettings = PayloadSettings()
    sensor_id: str = "{tank}_{metric}"
    sensor_type: str = "{metric}"
    tank: str = "{tank}"
    site: str = "{site}"
    unit: str | None = None
    channels: tuple[ChannelSettings, ...] = ()

    @property
    def by_channel(self) -> bool:
        """Whether a message has several measurements, each with a device and a channel."""
        payload = self.payload
        return payload.format not in {"json", "number"} or bool(self.channels) or payload.each is not None


@dataclass(frozen=True, slots=True)
class KnownSensor:
    """A sensor that config knows by name: what it says goes before what a topic or payload says.

    `maker` is a kind of device and `sentinels` are numbers that stand for no value (`drivers.mqtt.codecs.sentinels`);
    `bounds` are the lowest and the highest value that it can measure.
    """

    id: str
    type: str
    unit: str
    tank: str
    maker: str = ""
    sentinels: tuple[float, ...] = ()
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS of the connection. Without `ca_file` the system's authorities are trusted, without `dates` the clock is."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure_skip_verify: bool = False
    dates: CertificateDates | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """One MQTT connection.

    `client_id` names the session at the broker, which keeps what arrives while the daemon is away: it must stay
    the same over restarts and be nobody else's. `site` stands for `{site}` where a topic has no such level. The
    password is read from its file at each connection. In `subscriptions_file` (one small file, written when they
    change) the driver keeps what this session has subscribed to, so that a topic that was removed while the daemon
    was stopped is unsubscribed too; without it that is done only for changes in a running driver. While messages
    trickle in, what comes within `gather_s` is read together; 0 reads each as it comes.
    """

    name: str
    client_id: str
    site: str
    host: str = "127.0.0.1"
    port: int = 1883
    version: Literal["3.1.1", "5"] = "5"
    username: str | None = None
    password_file: Path | None = None
    tls: TlsSettings | None = None
    keepalive_s: int = 30
    session_expiry_s: int = 7 * 86_400
    receive_maximum: int = 65_535
    subscriptions: tuple[SubscriptionSettings, ...] = ()
    sensors: tuple[KnownSensor, ...] = ()
    subscriptions_file: Path | None = None
    gather_s: float = 0.0
