"""The words between the model host's client and its process: JSON messages on a SOCK_SEQPACKET pair.

Requests: `load`, `unload` and `look`, each with the model's `id`. A `load` carries a socket, on which it is answered:
so that looks are answered on the first one meanwhile. A `look` names an image by its token, and
where in it the pixels lie; the first one for a token carries the file descriptor of the image's memory
(SCM_RIGHTS), which the process maps once and keeps until a later `look` lists the token under `forget`.
No pixel passes through the socket. Answers: `{"ok": ...}` or `{"error": {"kind", "reason", "field", "hint"}}`.
"""

from __future__ import annotations

import json
from typing import Any

from models.values import Misconfigured, NotReady

MOST_REQUEST_BYTES = 16_384
MOST_ANSWER_BYTES = 160_000
"""Below what a socket takes in one piece: 256 detections are 30,000."""

# Kept: json.dumps makes a new encoder for every call that wants other separators.
_encode = json.JSONEncoder(separators=(",", ":")).encode


def error(kind: str, reason: str, field: str = "", hint: str = "") -> dict[str, Any]:
    """An answer that says no."""
    return {"error": {"kind": kind, "reason": reason[:2000], "field": field[:200], "hint": hint[:500]}}


def pack(message: dict[str, Any]) -> bytes:
    """Encode."""
    return _encode(message).encode()


def answer(message: bytes | memoryview) -> Any:
    """Decode an answer; what stands under `ok`.

    Raises:
        NotReady, Misconfigured, ValueError: as the process told, or when it told nonsense (ValueError).
    """
    told = json.loads(str(message, "utf-8"))
    if "ok" in told:
        return told["ok"]
    said = told["error"]
    if said["kind"] == "misconfigured":
        raise Misconfigured(said["reason"], field=said["field"], hint=said["hint"])
    if said["kind"] == "not_ready":
        raise NotReady(said["reason"], hint=said["hint"])
    raise ValueError(said["reason"])
