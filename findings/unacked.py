"""What an MQTT broker sends to a kept session that acknowledges nothing: unacked.py PORT VERSION [USER PASSWORD].

Plain paho. COUNT messages (30) come while the subscriber is connected; its connection breaks; as many more are
published; it comes back, looks for a while, and acknowledges only on a third connection. Prints one JSON object with
four lists of [payload, id, dup, retain], and whether each connection's SUBSCRIBE was answered before QUIET_S.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT, VERSION, LOGIN = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
FIVE = VERSION == "5"
COUNT, QUIET_S, LOOK_S, ANSWER_S = int(os.environ.get("COUNT", "30")), 2.0, 8.0, 20.0

Came = list[tuple[int, int, bool, bool]]


def client(name: str) -> mqtt.Client:
    """A client that does not reconnect by itself and acknowledges only when told to."""
    one = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id=name,
        protocol=mqtt.MQTTv5 if FIVE else mqtt.MQTTv311,
        clean_session=None if FIVE else name != "subscriber",
        manual_ack=True,
        reconnect_on_failure=False,
    )
    if LOGIN:
        one.username_pw_set(*LOGIN)
    return one


def subscriber(came: Came, answered: list[bool], *, acknowledge: bool) -> mqtt.Client:
    """Connect to the kept session and subscribe; what comes is noted."""
    one = client("subscriber")
    subscribed = threading.Event()

    def take(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        came.append((int(message.payload), message.mid, message.dup, message.retain))
        if acknowledge:
            one.ack(message.mid, 1)

    one.on_message = take
    one.on_connect = lambda *_: one.subscribe("t/#", 1)
    one.on_subscribe = lambda *_: subscribed.set()
    more: dict[str, Any] = {}
    if FIVE:
        more = {"clean_start": False, "properties": Properties(PacketTypes.CONNECT)}
        more["properties"].SessionExpiryInterval = 3600
        more["properties"].ReceiveMaximum = 65_535
    one.connect("127.0.0.1", PORT, **more)
    one.loop_start()
    # The first one must be subscribed before anything is published.
    answered.append(subscribed.wait(QUIET_S if answered else ANSWER_S))
    return one


def until_quiet(came: Came) -> None:
    """Wait until nothing has come for a while."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_S:
        if len(came) != seen:
            seen, since = len(came), time.monotonic()
        time.sleep(0.05)


def publish(first: int) -> None:
    """Publish COUNT numbers, one after the other."""
    one = client("publisher")
    connected = threading.Event()
    one.on_connect = lambda *_: connected.set()
    one.connect("127.0.0.1", PORT)
    one.loop_start()
    connected.wait(ANSWER_S)
    for number in range(first, first + COUNT):
        one.publish("t/a", str(number), 1).wait_for_publish(ANSWER_S)
    one.disconnect()
    one.loop_stop()


def breaks(one: mqtt.Client) -> None:
    """End the connection without a DISCONNECT."""
    link = one.socket()
    if link is None:
        sys.exit("the broker ended the connection by itself")
    link.shutdown(socket.SHUT_RDWR)
    one.loop_stop()
    time.sleep(1)


answered: list[bool] = []
live: Came = []
returned: Came = []
acknowledged: Came = []
first = subscriber(live, answered, acknowledge=False)
publish(0)
until_quiet(live)
breaks(first)
publish(COUNT)
second = subscriber(returned, answered, acknowledge=False)
until_quiet(returned)
standing = len(returned)
time.sleep(LOOK_S)
repeated = returned[standing:]
breaks(second)
third = subscriber(acknowledged, answered, acknowledge=True)
until_quiet(acknowledged)
third.disconnect()
found = {"live": live, "returned": returned[:standing], "repeated": repeated, "acknowledged": acknowledged}
print(json.dumps({**found, "answered": answered}))
