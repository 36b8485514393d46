#!/usr/bin/env bash
# mochi-mqtt sends the queue of a session that returns in random order, and with DUP on messages that it never sent
# before. DUP then says nothing, and "the newest value came last" is wrong.
# MQTT 5 asks for the order of publishing (section 4.6), and DUP only on what is sent again (section 3.3.1.1).
# Seen 2026-11-30: mochi-mqtt 2.7.9, paho-mqtt 2.1.0, MQTT 5:
#   30 messages were queued while the subscriber was away: 30 came, 30 with DUP, in order: False
. "$(dirname "$0")/prepare.sh"
mkdir "$WORK/go" && cd "$WORK/go"
cat >main.go <<'GO'
package main

import (
	"os"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	server := mqtt.New(nil)
	_ = server.AddHook(new(auth.AllowHook), nil)
	_ = server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: os.Args[1]}))
	_ = server.Serve()
	select {}
}
GO
go mod init findings >/dev/null 2>&1
go get github.com/mochi-mqtt/server/v2@v2.7.9 github.com/mochi-mqtt/server/v2/hooks/auth@v2.7.9 >/dev/null 2>&1
go build -o broker .
start "$WORK/go/broker" "127.0.0.1:$PORT"
"$PYTHON" "$HERE/unacked.py" "$PORT" 5 | "$PYTHON" -c '
import json, sys
found = json.load(sys.stdin)
new = [one for one in found["returned"] if one[0] >= 30]
dup, ordered = sum(one[2] for one in new), new == sorted(new)
print(f"30 messages were queued while the subscriber was away: {len(new)} came, {dup} with DUP, in order: {ordered}")
sys.exit(not (len(new) > 20 and dup == len(new) and not ordered))'
