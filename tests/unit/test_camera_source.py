"""What a camera's source may be, and that its secrets stay secret."""

from __future__ import annotations

import pytest

from drivers import Misconfigured, NotReady
from drivers.camera.source import Kind, look, parse


@pytest.mark.parametrize(
    ("source", "kind", "shown"),
    [
        ("0", Kind.DEVICE, "/dev/video0"),
        ("/dev/video2", Kind.DEVICE, "/dev/video2"),
        ("/dev/v4l/by-id/usb-cam-index0", Kind.DEVICE, "/dev/v4l/by-id/usb-cam-index0"),
        ("clips/pen 3.mp4", Kind.FILE, "clips/pen 3.mp4"),
        ("rtsp://10.0.0.7/stream1", Kind.STREAM, "rtsp://10.0.0.7/…"),
        ("RTSPS://cam.farm:322/a?b=c", Kind.STREAM, "rtsps://cam.farm:322/…"),
        ("rtsp://[fe80::1]:554/x", Kind.STREAM, "rtsp://[fe80::1]:554/…"),
    ],
)
def test_kinds_of_source(source, kind, shown):
    parsed = parse(source)
    assert (parsed.kind, parsed.shown) == (kind, shown)


@pytest.mark.parametrize(
    "source",
    ["", "http://10.0.0.7/mjpeg", "file:///clip.mp4", "rtsp://", "rtsp://host:notaport/", "a\nb", "x" * 5000],
)
def test_what_is_no_source_is_refused_with_a_hint(source):
    with pytest.raises(Misconfigured) as refused:
        parse(source)
    assert refused.value.field == "source"
    assert ("file://" if source.startswith("file") else "rtsp://") in refused.value.hint


@pytest.mark.parametrize(
    ("source", "sign", "instead"),
    [
        ("rtsp://viewer:pa#ss@10.0.0.7:554/pen", "#", "%23"),
        ("rtsp://viewer:12#ss@10.0.0.7/pen", "#", "%23"),
        ("rtsp://viewer:pa/ss@10.0.0.7/pen", "/", "%2F"),
        ("rtsps://viewer:pa?ss@10.0.0.7/pen", "?", "%3F"),
    ],
)
def test_a_raw_character_that_cuts_the_address_is_named_with_what_to_write(source, sign, instead):
    with pytest.raises(Misconfigured) as refused:
        parse(source)
    assert f"has a raw {sign}" in refused.value.reason
    assert refused.value.hint == f"write {instead} in place of {sign}"
    assert "ss" not in refused.value.reason.replace("address", "")
    mended = source.replace(sign, instead) if sign != "/" else source.replace("pa/ss", "pa%2Fss")
    assert parse(mended).kind is Kind.STREAM


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://u:p@ss@10.0.0.7/x",
        "rtsp://10.0.0.7/user=a&password=a#b@c",
        "rtsp://10.0.0.7:554/user@farm/1",
        "rtsp://[::1]/a@b",
    ],
)
def test_an_at_sign_in_login_or_path_is_no_fault(source):
    assert parse(source).kind is Kind.STREAM


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://admin:hunter%21two@10.0.0.7:554/Streaming/101",
        "rtsp://10.0.0.7/user=admin&password=hunter!two&channel=1",
        "rtsp://10.0.0.7/live?password=hunter!two",
    ],
)
def test_no_password_is_ever_shown(source):
    parsed = parse(source)
    for words in ("401 for hunter!two", f"cannot open {source}", f"cannot open {source[7:]}"):
        assert "hunter" not in parsed.redact(words)
        assert parsed.redact(words).startswith(words[:7])
    assert "hunter" not in f"{parsed!r} {parsed.shown}"


def test_what_is_not_there_is_waited_for(tmp_path):
    for source in (str(tmp_path / "none.mp4"), "/dev/video987"):
        with pytest.raises(NotReady, match="does not exist") as waiting:
            look(parse(source))
        assert waiting.value.hint


def test_what_can_never_be_a_camera_is_refused(tmp_path):
    (tmp_path / "disk").write_bytes(b"")
    with pytest.raises(Misconfigured, match="is not a file"):
        look(parse(str(tmp_path)))
    with pytest.raises(Misconfigured, match="is not a video device"):
        look(parse("/dev/fd"))
