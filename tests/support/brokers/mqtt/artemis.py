"""ActiveMQ Artemis with its own journal on disk, started by the main class that its server jar brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.brokers.mqtt.listening import MqttBroker
from tests.support.brokers.packages import maven

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "2.40.0"
_CONFIGURATION = """<configuration xmlns="urn:activemq"><core xmlns="urn:activemq:core">
  <persistence-enabled>true</persistence-enabled>
  <security-enabled>false</security-enabled>
  <journal-type>NIO</journal-type>
  <journal-min-files>2</journal-min-files>
  <acceptors><acceptor name="mqtt">tcp://{host}:{port}?protocols=MQTT</acceptor></acceptors>
</core></configuration>
"""


class Artemis(MqttBroker):
    """Every message is in the journal before it is acknowledged."""

    def _configure(self) -> None:
        folder = self.folder / "etc"
        folder.mkdir(exist_ok=True)
        (folder / "broker.xml").write_text(_CONFIGURATION.format(host=self.host, port=self.port))

    def _command(self) -> Sequence[str]:
        jars = maven(
            f"artemis-{VERSION}",
            f"org.apache.activemq:artemis-server:{VERSION}",
            f"org.apache.activemq:artemis-mqtt-protocol:{VERSION}",
        )
        main = "org.apache.activemq.artemis.core.server.embedded.Main"
        return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{jars}/*", main, str(self.folder)]
