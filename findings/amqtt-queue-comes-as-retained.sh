#!/usr/bin/env bash
# amqtt sends what it queued for a session that was away with RETAIN=1, as if each were the retained message of its
# topic, and never sends again what was not acknowledged. Who drops retained messages of unknown age drops the queue.
# It queues only for sessions of named users: an anonymous one gets nothing.
# Seen 2026-11-30: amqtt 0.12.1, paho-mqtt 2.1.0, MQTT 3.1.1, Python 3.11:
#   of 30 un-acked messages 0 came again; of 30 queued ones 30 came, 30 with RETAIN
. "$(dirname "$0")/prepare.sh" amqtt==0.12.1
"$PYTHON" - "$WORK" "$PORT" <<'PY'
import json, pathlib, sys
from pwdlib.hashers.argon2 import Argon2Hasher
work, port = pathlib.Path(sys.argv[1]), sys.argv[2]
(work / "passwords").write_text(f"farm:{Argon2Hasher().hash('farm')}\n")
plugins = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(work / "passwords")}}
listener = {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}
(work / "broker.yaml").write_text(json.dumps({"listeners": listener, "plugins": plugins}))
PY
start "$PYTHON" -m amqtt.scripts.broker_script -c broker.yaml
"$PYTHON" "$HERE/unacked.py" "$PORT" 3.1.1 farm farm | "$PYTHON" -c '
import json, sys
found = json.load(sys.stdin)
later = found["returned"] + found["acknowledged"]
again = sum(one[0] < 30 for one in later)
queued = [one for one in found["returned"] if one[0] >= 30]
retained = sum(one[3] for one in queued)
print(f"of 30 un-acked messages {again} came again; of 30 queued ones {len(queued)} came, {retained} with RETAIN")
sys.exit((again, len(queued), retained) != (0, 30, 30))'
