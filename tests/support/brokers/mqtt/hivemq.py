"""HiveMQ Community Edition with its persistence in files and everything else as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.brokers.mqtt.listening import MqttBroker
from tests.support.brokers.packages import SOURCES, java, maven

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "2025.5"
_CONFIGURATION = """<hivemq>
  <listeners><tcp-listener><port>{port}</port><bind-address>{host}</bind-address></tcp-listener></listeners>
  <persistence><mode>file</mode></persistence>
  <anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics>
</hivemq>
"""
_OPENED = ("java.lang", "java.nio", "sun.nio.ch", "jdk.internal.misc")


class HiveMq(MqttBroker):
    """Grants 10 un-acked publishes, keeps 1,000 messages for a session that is away."""

    def _configure(self) -> None:
        for name in ("conf", "data", "extensions"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "conf" / "config.xml").write_text(_CONFIGURATION.format(host=self.host, port=self.port))

    def _command(self) -> Sequence[str]:
        jars = maven(f"hivemq-{VERSION}", f"com.hivemq:hivemq-community-edition-embedded:{VERSION}")
        classes = java(f"hivemq-{VERSION}-main", jars, SOURCES / "hivemq" / "Main.java")
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
        options = ["-Xmx384m", "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true", f"-Dhivemq.home={self.folder}"]
        path = f"{jars}/*:{classes}"
        return ["java", *opened, *options, "-cp", path, "Main", str(self.folder)]
