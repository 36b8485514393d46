#!/bin/sh
# uvloop 0.23.0 tells a reader of `add_reader` once that its socket was reset, and then looks at the socket no more.
#
# libuv reports an error on a polled descriptor once (UV_EBADF) and stops; uvloop calls the reader, closes its handle and
# keeps the closed handle under the descriptor's number. asyncio's own loop calls the reader until it is removed. So:
#   - if data and the reset are there together, a reader that reads once per call gets the data and is not called again:
#     it does not learn of the reset
#   - `add_writer` on the socket raises RuntimeError, where asyncio's loop takes it
# Seen on 2026-11-30 (Python 3.11.7, uvloop 0.23.0):
#   asyncio: reads b'data', ConnectionResetError; add_writer works
#   uvloop: reads b'data'; add_writer raises RuntimeError
# Exits non-zero if that changes. Needs python3 with venv; downloads the package to a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet uvloop==0.23.0
cat > reset.py <<'PY'
import asyncio
import select
import socket
import struct
import sys

import uvloop


async def story():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    seen = []

    def read():
        try:
            seen.append(near.recv(100))
        except OSError as error:
            seen.append(type(error).__name__)
            loop.remove_reader(near)

    loop.add_reader(near, read)
    await asyncio.sleep(0.1)
    # No await from here on: the loop finds the data and the reset together.
    far.sendall(b"data")
    while not select.select([near], [], [], 1)[0]:
        pass
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    watched = select.poll()
    watched.register(near, 0)
    assert watched.poll(5000)
    await asyncio.sleep(1)
    try:
        loop.add_writer(near, lambda: None)
        writer = "works"
    except RuntimeError:
        writer = "RuntimeError"
    return seen, writer


with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
    plain = runner.run(story())
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    fast = runner.run(story())
print("asyncio:", *plain)
print("uvloop:", *fast)
sys.exit((plain, fast) != (([b"data", "ConnectionResetError"], "works"), ([b"data"], "RuntimeError")))
PY
venv/bin/python reset.py
