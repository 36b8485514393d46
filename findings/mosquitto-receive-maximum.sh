#!/bin/sh
# mosquitto sends more than the client's Receive Maximum once acknowledgements come together.
#
# Version: mosquitto 2.0.11-1.2+deb12u2 (Debian 12).
# Expected: a client of MQTT 5 that grants a Receive Maximum of 10 never holds more than 10 unacknowledged messages of
#   QoS 1 (MQTT 5, 3.1.2.11.3 and 4.9).
# Seen: 500 messages wait; 10 come, as they should. Their ten PUBACKs, written at once, bring 100, and the PUBACKs of
#   those all that is left. Each PUBACK in one read seems to make room for a whole window.
#     round 0: 10
#     round 1: 100
#     round 2: 390
# So a small window does not bound the rate behind this broker, and a client must be ready to hold more than it granted.
# Exits non-zero where that changes. Needs apt-get (to download only), dpkg-deb, python3; nothing is installed.
set -eu
folder=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q mosquitto=2.0.11-1.2+deb12u2 libwebsockets17 libcjson1 libdlt2 libev4 libuv1 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/sbin/mosquitto -p "$port" >/dev/null 2>&1 &
broker=$!
python3 - "$port" <<'PYTHON'
import contextlib
import socket
import struct
import sys
import time

WAITING, GRANTED = 500, 10


def packet(head, body):
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([head]) + length + body


def text(value):
    return struct.pack(">H", len(value)) + value


def connect(name, receive_maximum=None):
    for _ in range(100):
        with contextlib.suppress(OSError):
            there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
            break
        time.sleep(0.1)
    properties = b"\x21" + struct.pack(">H", receive_maximum) if receive_maximum else b""
    there.sendall(packet(0x10, text(b"MQTT") + b"\x05\x02\x00\x3c" + bytes([len(properties)]) + properties + text(name)))
    read(there)
    return there


def read(there):
    """The bodies of PUBLISH packets that come until it has been quiet for a second."""
    there.settimeout(1.0)
    stream, found, at = b"", [], 0
    with contextlib.suppress(TimeoutError):
        while piece := there.recv(65_536):
            stream += piece
    while at < len(stream):
        head, length, shift, at = stream[at], 0, 0, at + 1
        while True:
            length |= (stream[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if stream[at - 1] < 0x80:
                break
        if head >> 4 == 3:
            found.append(stream[at : at + length])
        at += length
    return found


subscriber = connect(b"subscriber", GRANTED)
subscriber.sendall(packet(0x82, b"\x00\x01\x00" + text(b"t") + b"\x01"))
read(subscriber)
publisher = connect(b"publisher")
for number in range(1, WAITING + 1):
    publisher.sendall(packet(0x32, text(b"t") + struct.pack(">H", number) + b"\x00" + b"%d" % number))
rounds = []
for _ in range(3):
    messages = read(subscriber)
    rounds.append(len(messages))
    print(f"round {len(rounds) - 1}: {len(messages)}")
    subscriber.sendall(b"".join(b"\x40\x02" + message[3:5] for message in messages))
sys.exit(0 if rounds[0] == GRANTED and max(rounds) > GRANTED else "mosquitto keeps to the Receive Maximum now")
PYTHON
