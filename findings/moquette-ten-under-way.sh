#!/usr/bin/env bash
# Moquette lets 10 messages stand un-acked, whatever is asked, and after 5 s sends them again on the same connection,
# with DUP and not always in order. A subscriber that acknowledges every 200 ms gets 50 messages a second.
# MQTT 3.1.1 asks for sending again only when a client reconnects (section 4.4); MQTT 5 forbids it at other times.
# Seen 2026-11-30: Moquette 0.17, paho-mqtt 2.1.0, MQTT 3.1.1, Java 17:
#   of 30 messages 10 came before the first acknowledgement; 10 came again with DUP, without a reconnect
. "$(dirname "$0")/prepare.sh"
jars io.moquette:moquette-broker:0.17
mkdir "$WORK/config" "$WORK/data"
printf '%s\n' "host 127.0.0.1" "port $PORT" "allow_anonymous true" "persistence_enabled true" \
    "persistent_queue_type h2" "data_path $WORK/data/" "telemetry_enabled false" >"$WORK/config/moquette.conf"
start java -Xmx256m "-Dmoquette.path=$WORK" -cp "$WORK/jars/*" io.moquette.broker.Server
"$PYTHON" "$HERE/unacked.py" "$PORT" 3.1.1 | "$PYTHON" -c '
import json, sys
found = json.load(sys.stdin)
repeated = [one for one in found["repeated"] if one[2]]
print(f"of 30 messages {len(found['"'live'"'])} came before the first acknowledgement; "
      f"{len(repeated)} came again with DUP, without a reconnect")
sys.exit(not (len(found["live"]) == 10 and len(repeated) >= 10))'
