#!/bin/sh
# mochi-mqtt 2.7.9 keeps one table of packet ids for both directions of a session.
#
# MQTT counts packet ids separately in each direction (MQTT 5, 2.2.1). mochi looks the id of a client's SUBSCRIBE and
# PUBLISH up among its own messages that wait for that client's acknowledgement:
#   - SUBSCRIBE under such an id is refused with reason 145, "packet identifier in use" (the same under a free id: granted)
#   - PUBLISH (QoS 1) under such an id removes the waiting message: after a reconnect it never comes again
# A gateway that acknowledges late and publishes meanwhile meets both. Seen on 2026-11-30 (go 1.26, paho-mqtt 2.1.0):
#   SUBSCRIBE under id 1, in use: [145]; under id 40000: [1]
#   un-acked before: [1, 2, 3]; after a PUBLISH under id 2 and a reconnect: [1, 3]
# Exits non-zero if that changes. Needs go and python3 with venv; downloads both packages to a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
cat > go.mod <<'MOD'
module finding
go 1.21
require github.com/mochi-mqtt/server/v2 v2.7.9
MOD
cat > main.go <<'GO'
package main

import (
	"log"
	"log/slog"
	"io"
	"os"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	_ = server.AddHook(new(auth.AllowHook), nil)
	if err := server.AddListener(listeners.NewTCP(listeners.Config{ID: "t", Address: os.Args[1]})); err != nil {
		log.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		log.Fatal(err)
	}
	select {}
}
GO
export GOPATH="$folder/go" GOCACHE="$folder/cache" GOFLAGS=-mod=mod
go build -o mochi .
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check paho-mqtt==2.1.0
cat > ask.py <<'PY'
import socket, subprocess, sys, time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
broker = subprocess.Popen(["./mochi", f"127.0.0.1:{port}"])


def until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        if time.monotonic() > deadline:
            sys.exit("never happened")
        time.sleep(0.02)


class Gateway:
    """Keeps its session, and acknowledges nothing."""

    def __init__(self):
        self.came, self.granted, self.answered, self.up = [], [], [], []
        self.client = one = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, "gateway", protocol=mqtt.MQTTv5, manual_ack=True
        )
        one.on_connect = lambda *of: self.up.append(of[3])
        one.on_message = lambda *of: self.came.append(of[2].mid)
        one.on_subscribe = lambda *of: self.granted.append([code.value for code in of[3]])
        one.on_publish = lambda *of: self.answered.append(of[2])
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 600
        one.connect("127.0.0.1", port, clean_start=False, properties=kept)
        one.loop_start()
        until(lambda: self.up)

    def subscribe(self, topic, number):
        self.client._last_mid = number - 1
        before = len(self.granted)
        self.client.subscribe(topic, 1)
        until(lambda: len(self.granted) > before)
        return self.granted[-1]


try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    gateway = Gateway()
    gateway.subscribe("farm/#", 50000)
    sensor = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    sensor.connect("127.0.0.1", port)
    sensor.loop_start()
    for value in range(3):
        sensor.publish("farm/t1/oxygen", str(value), 1).wait_for_publish(20)
    until(lambda: len(gateway.came) == 3)
    before = sorted(gateway.came)
    in_use, free = gateway.subscribe("other", before[0]), gateway.subscribe("other", 40000)
    print(f"SUBSCRIBE under id {before[0]}, in use: {in_use}; under id 40000: {free}")
    gateway.client._last_mid = before[1] - 1
    gateway.client.publish("elsewhere", "x", 1)
    until(lambda: gateway.answered)
    gateway.client.disconnect()
    gateway.client.loop_stop()
    again = Gateway()
    until(lambda: len(again.came) >= 2)
    time.sleep(1)
    after = sorted(again.came)
    print(f"un-acked before: {before}; after a PUBLISH under id {before[1]} and a reconnect: {after}")
    sys.exit(0 if (in_use, free, after) == ([145], [1], [before[0], before[2]]) else 1)
finally:
    broker.kill()
PY
venv/bin/python ask.py
