"""A relay in front of a real Kafka that changes single answers: one that refuses a codec, or lacks a question."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Self

from aiokafka.protocol.admin import ApiVersionResponse_v0, ApiVersionResponse_v1
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7

if TYPE_CHECKING:
    from tests.support.kafka import ApacheKafka

_PRODUCE, _API_VERSIONS = 0, 18
_HEADER = struct.Struct(">hhi")
_CODEC_AT = 22  # the low byte of a batch's attributes


class KafkaRelay:
    """Stands at `kafka.link_port`, where clients are told that the broker is.

    `refused`: error codes by the codec (0 none, 1 gzip, 3 lz4, 4 zstd) of a batch; such a request is answered with
    the code and not passed on. `missing`: questions, by their key, that the broker seems not to have; `closes`: those
    at which it closes the connection. All may be changed while it runs. `refusals` counts them; `codecs` are those
    passed on.
    """

    def __init__(self, kafka: ApacheKafka) -> None:
        self._target = kafka.host, kafka.behind_link_port
        self._listener = socket.create_server((kafka.host, kafka.link_port), backlog=64)
        self.bootstrap = f"{kafka.host}:{kafka.link_port}"
        self.refused: dict[int, int] = {}
        self.missing: frozenset[int] = frozenset()
        self.closes: frozenset[int] = frozenset()
        self.refusals = 0
        self.codecs: set[int] = set()
        self._ends: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="kafka relay", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in [self._listener, *self._ends]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target, timeout=10)
                far.settimeout(None)
                self._ends += [near, far]
                asked: dict[int, tuple[int, int]] = {}
                for pump in (self._up, self._down):
                    threading.Thread(target=pump, args=(near, far, asked), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket, asked: dict[int, tuple[int, int]]) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                request = _frame(near)
                key, version, number = _HEADER.unpack_from(request)
                if key in self.closes:
                    break
                refusal = self._refusal(request) if key == _PRODUCE else None
                if refusal is None:
                    asked[number] = key, version
                    _send(far, request)
                else:
                    self.refusals += 1
                    _send(near, struct.pack(">i", number) + refusal)
        _close(near, far)

    def _down(self, near: socket.socket, far: socket.socket, asked: dict[int, tuple[int, int]]) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                answer = _frame(far)
                key, version = asked.pop(int.from_bytes(answer[:4]))
                if key == _API_VERSIONS and self.missing:
                    answer = answer[:4] + self._fewer(version, answer[4:])
                _send(near, answer)
        _close(near, far)

    def _refusal(self, request: bytes) -> bytes | None:
        client = max(int.from_bytes(request[8:10], signed=True), 0)
        asked: Any = ProduceRequest_v7.decode(io.BytesIO(request[10 + client :]))
        ((topic, ((partition, batch),)),) = asked.topics
        codec = batch[_CODEC_AT] & 7
        if codec not in self.refused:
            self.codecs.add(codec)
            return None
        answer = [(topic, [(partition, self.refused[codec], -1, -1, -1)])]
        return ProduceResponse_v7(answer, 0).encode()

    def _fewer(self, version: int, answer: bytes) -> bytes:
        kind = ApiVersionResponse_v0 if version == 0 else ApiVersionResponse_v1
        told: Any = kind.decode(io.BytesIO(answer))
        told.api_versions = [entry for entry in told.api_versions if entry[0] not in self.missing]
        return told.encode()


def _frame(sock: socket.socket) -> bytes:
    return _exactly(sock, int.from_bytes(_exactly(sock, 4)))


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _send(sock: socket.socket, body: bytes) -> None:
    sock.sendall(len(body).to_bytes(4) + body)


def _close(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
