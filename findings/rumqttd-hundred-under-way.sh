#!/usr/bin/env bash
# rumqttd lets 100 messages stand un-acked, whatever Receive Maximum a client names (65,535 here), and sends them again
# after a reconnect without DUP, under ids that begin at 1 again. A subscriber that acknowledges every 200 ms gets 500
# a second, and a repeat looks like a new message. While 100 stand un-acked it does not answer a SUBSCRIBE either: a
# client that waits for SUBACK before it acknowledges waits for ever. Compiling it takes some five minutes.
# Both versions of MQTT ask for DUP on what is sent again (section 3.3.1.1).
# Seen 2026-11-30: rumqttd 0.20.0, paho-mqtt 2.1.0, MQTT 5:
#   of 150 messages 100 came before the first acknowledgement; 100 came again, 0 with DUP
#   SUBSCRIBE answered: at first True, with 100 un-acked False, while acknowledging True
. "$(dirname "$0")/prepare.sh"
cargo install --quiet rumqttd --version 0.20.0 --root "$WORK"
cat >"$WORK/rumqttd.toml" <<TOML
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
TOML
# A port speaks one version; the first one is only for the start's question.
OTHER=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
for pair in "v4 $PORT" "v5 $OTHER"; do
    read -r version port <<<"$pair"
    cat >>"$WORK/rumqttd.toml" <<TOML
[$version.1]
name = "$version"
listen = "127.0.0.1:$port"
next_connection_delay_ms = 1
[$version.1.connections]
connection_timeout_ms = 60000
max_payload_size = 20480
max_inflight_count = 100
dynamic_filters = true
TOML
done
start "$WORK/bin/rumqttd" --config rumqttd.toml
COUNT=150 "$PYTHON" "$HERE/unacked.py" "$OTHER" 5 | "$PYTHON" -c '
import json, sys
found = json.load(sys.stdin)
first = {one[0] for one in found["live"]}
again = [one for one in found["returned"] if one[0] in first]
dup = sum(one[2] for one in again)
print(f"of 150 messages {len(first)} came before the first acknowledgement; {len(again)} came again, {dup} with DUP")
one, two, three = found["answered"]
print(f"SUBSCRIBE answered: at first {one}, with 100 un-acked {two}, while acknowledging {three}")
sys.exit((len(first), len(again), dup, one, two, three) != (100, 100, 0, True, False, True))'
