#!/usr/bin/env bash
# ActiveMQ Artemis sends what was not acknowledged again as if it were new: no DUP, and under new packet ids.
# MQTT 5 asks for the original packet identifiers (section 4.4) and for DUP (section 3.3.1.1). Who recognises a repeat
# by its id or its DUP flag takes every un-acked message twice after a dropped connection.
# Seen 2026-11-30: ActiveMQ Artemis 2.40.0, paho-mqtt 2.1.0, MQTT 5, Java 17:
#   of 30 un-acked messages 30 came again, 0 with DUP, 0 under the same id
. "$(dirname "$0")/prepare.sh"
jars org.apache.activemq:artemis-server:2.40.0 org.apache.activemq:artemis-mqtt-protocol:2.40.0
mkdir "$WORK/etc"
cat >"$WORK/etc/broker.xml" <<XML
<configuration xmlns="urn:activemq"><core xmlns="urn:activemq:core">
  <security-enabled>false</security-enabled><journal-type>NIO</journal-type>
  <acceptors><acceptor name="mqtt">tcp://127.0.0.1:$PORT?protocols=MQTT</acceptor></acceptors>
</core></configuration>
XML
start java -Xmx256m -cp "$WORK/jars/*" org.apache.activemq.artemis.core.server.embedded.Main "$WORK"
"$PYTHON" "$HERE/unacked.py" "$PORT" 5 | "$PYTHON" -c '
import json, sys
found = json.load(sys.stdin)
ids = {payload: number for payload, number, *_ in found["live"]}
again = [one for one in found["returned"] if one[0] in ids]
dup, same = sum(one[2] for one in again), sum(ids[one[0]] == one[1] for one in again)
print(f"of {len(ids)} un-acked messages {len(again)} came again, {dup} with DUP, {same} under the same id")
sys.exit((len(ids), len(again), dup, same) != (30, 30, 0, 0))'
