"""amqtt with users, for it keeps nothing for a session without a name; its queue is in memory."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from tests.support.brokers.mqtt.listening import MqttBroker
from tests.support.brokers.packages import NotAtHand

if TYPE_CHECKING:
    from collections.abc import Sequence


def installed() -> str:
    """Its version in this environment.

    Raises:
        NotAtHand: the demo extra is not installed.
    """
    try:
        return version("amqtt")
    except PackageNotFoundError:
        raise NotAtHand("amqtt is not in this environment (extra: demo)") from None


class NamedAmqtt(MqttBroker):
    """Speaks MQTT 3.1.1; anybody with the name and password of `login` may do anything."""

    login = ("farm", "farm")

    def _configure(self) -> None:
        from pwdlib.hashers.argon2 import Argon2Hasher  # noqa: PLC0415 - comes with amqtt

        user, password = self.login
        (self.folder / "passwords").write_text(f"{user}:{Argon2Hasher().hash(password)}\n")
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
            "plugins": {
                "amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(self.folder / "passwords")}
            },
        }
        (self.folder / "broker.yaml").write_text(json.dumps(config))  # JSON is YAML

    def _command(self) -> Sequence[str]:
        installed()
        return [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", "broker.yaml"]
