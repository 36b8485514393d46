#!/usr/bin/env bash
# Moquette counts packet ids from 1 again at each connect of a kept session. A message that waits there unacknowledged
# under such an id is replaced by the new one, and never comes again: it is lost, though the publisher has its PUBACK.
# MQTT 3.1.1 wants it sent again at the reconnect (section 4.4), and its id not used for another one (section 2.3.1).
# Seen 2026-12-01: Moquette 0.17, paho-mqtt 2.1.0, MQTT 3.1.1, Java 17:
#   5 messages came under ids 1 to 5 and were not acknowledged; after the reconnect 5 others came under ids 1 to 5;
#   5 of the first 5 never came again
. "$(dirname "$0")/prepare.sh"
jars io.moquette:moquette-broker:0.17
mkdir "$WORK/config" "$WORK/data"
printf '%s\n' "host 127.0.0.1" "port $PORT" "allow_anonymous true" "persistence_enabled true" \
    "persistent_queue_type h2" "data_path $WORK/data/" "telemetry_enabled false" >"$WORK/config/moquette.conf"
start java -Xmx256m "-Dmoquette.path=$WORK" -cp "$WORK/jars/*" io.moquette.broker.Server
COUNT=5 "$PYTHON" "$HERE/unacked.py" "$PORT" 3.1.1 | "$PYTHON" -c '
import json, sys
found = json.load(sys.stdin)
ids = [{one[1] for one in found[when]} for when in ("live", "returned")]
again = {one[0] for when in ("returned", "repeated", "acknowledged") for one in found[when]}
lost = [one[0] for one in found["live"] if one[0] not in again]
print(f"ids of the first connection: {sorted(ids[0])}; of the next one: {sorted(ids[1])}; "
      f"{len(lost)} of the first {len(found['"'live'"'])} never came again")
sys.exit(not (ids[0] & ids[1] and lost))'
