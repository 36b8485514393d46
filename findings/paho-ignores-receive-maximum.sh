#!/usr/bin/env bash
# paho-mqtt keeps up to 20 QoS 1 publishes under way, whatever Receive Maximum the broker grants in its CONNACK.
# HiveMQ CE grants 10 and ends a connection that exceeds it with reason 147 (Receive Maximum exceeded): a client that
# publishes more at once after each connect never gets further. `max_inflight_messages_set(10)` before connect helps.
# Seen 2026-11-30: paho-mqtt 2.1.0, HiveMQ CE 2025.5, Java 17:
#   granted 10; 200 publishes at once: 1 acknowledged, ended with 147
#   with max_inflight_messages_set(10): 200 acknowledged
. "$(dirname "$0")/prepare.sh"
jars com.hivemq:hivemq-community-edition-embedded:2025.5
mkdir "$WORK/conf" "$WORK/data" "$WORK/extensions"
cat >"$WORK/conf/config.xml" <<XML
<hivemq>
  <listeners><tcp-listener><port>$PORT</port><bind-address>127.0.0.1</bind-address></tcp-listener></listeners>
  <anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics>
</hivemq>
XML
cat >"$WORK/Main.java" <<'JAVA'
import com.hivemq.embedded.EmbeddedHiveMQ;
import java.nio.file.Path;

class Main {
    public static void main(String[] arguments) {
        Path folder = Path.of(arguments[0]);
        EmbeddedHiveMQ.builder().withConfigurationFolder(folder.resolve("conf")).withDataFolder(folder.resolve("data"))
                .withExtensionsFolder(folder.resolve("extensions")).build().start().join();
    }
}
JAVA
start java -Xmx384m "-Dhivemq.home=$WORK" -cp "$WORK/jars/*" Main.java "$WORK"
"$PYTHON" - "$PORT" <<'PY'
import sys, threading
import paho.mqtt.client as mqtt


def attempt(limit):
    granted, reason, acked, done = [], [], [], threading.Event()
    one = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "many", protocol=mqtt.MQTTv5, reconnect_on_failure=False)
    if limit:
        one.max_inflight_messages_set(limit)

    def connected(_client, _data, _flags, _code, properties):
        granted.append(properties.ReceiveMaximum)
        for number in range(200):
            one.publish("t/a", str(number), 1)

    def published(*_):
        acked.append(1)
        if len(acked) == 200:
            done.set()

    def ended(_client, _data, _flags, code, _properties):
        reason.append(code.value)
        done.set()

    one.on_connect, one.on_publish, one.on_disconnect = connected, published, ended
    one.connect("127.0.0.1", int(sys.argv[1]))
    one.loop_start()
    done.wait(30)
    return granted[0], len(acked), reason[0] if reason else None


granted, acked, reason = attempt(None)
print(f"granted {granted}; 200 publishes at once: {acked} acknowledged, ended with {reason}")
kept = attempt(10)
print(f"with max_inflight_messages_set(10): {kept[1]} acknowledged")
sys.exit(not (granted == 10 and reason == 147 and kept[1] == 200))
PY
