"""Dates of certificates, against real TLS servers (X1 to X4 in agent/app/certificates.py)."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from datetime import UTC, datetime

import pytest

from agent import RELEASED
from agent.app.certificates import CertificateDates, TimeFloor
from tests.support.certificates import Certificates, issue
from tests.support.faked_time import YEAR_S, FakedTime

HOUR_S = 3600.0


def issue_at(folder, offset_s: float) -> Certificates:
    """Certificates good for one day, `offset_s` from now."""
    folder.mkdir()
    return issue(folder / "tls", environment=FakedTime(folder, offset_s).environment)


@pytest.fixture
def server(request, tmp_path):
    """A TLS server that echoes, under a certificate issued at an offset from now; its address and authority."""
    files = issue_at(tmp_path / "issued", request.param)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server_cert, files.server_key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(raw: socket.socket) -> None:
        try:
            with context.wrap_socket(raw, server_side=True) as sock:
                while data := sock.recv(100):
                    sock.sendall(data)
        except OSError:
            raw.close()

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(raw,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname(), files.ca_file
    listener.close()


class Box:
    """A gateway whose clock is trusted or not."""

    def __init__(self, folder, *, trusted: bool) -> None:
        self.trusted = trusted
        self.dates = CertificateDates(lambda: self.trusted, TimeFloor(folder / "time-floor"))

    def context(self, authority) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(authority))
        self.dates.prepare(context)
        return context

    def connect(self, server, name: str = "localhost") -> ssl.SSLSocket:
        address, authority = server
        sock = self.context(authority).wrap_socket(socket.create_connection(address, 30), server_hostname=name)
        sock.settimeout(30)
        return sock


def ended(sock: ssl.SSLSocket) -> bool:
    try:
        return sock.recv(100) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("server", [2 * YEAR_S], indirect=True)
def test_x1_a_trusted_clock_judges_both_dates(server, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
        Box(tmp_path, trusted=True).connect(server)


@pytest.mark.parametrize("server", [2 * YEAR_S], indirect=True)
def test_x2_and_x3_not_before_waits_for_the_clock_and_then_ends_the_connection(server, tmp_path, caplog):
    box = Box(tmp_path, trusted=False)
    with box.connect(server) as sock:
        box.dates.look()
        sock.sendall(b"still there")
        assert sock.recv(100) == b"still there"
        box.trusted = True
        box.dates.look()
        assert ended(sock)
    assert "the certificate of server is not valid before" in caplog.text


@pytest.mark.parametrize("server", [-2 * YEAR_S], indirect=True)
def test_x2_what_expired_before_the_floor_is_refused_without_a_clock(server, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError) as fault:
        Box(tmp_path, trusted=False).connect(server)
    assert fault.value.verify_code == 10
    assert "the certificate of server expired at" in fault.value.verify_message


@pytest.mark.parametrize("server", [0], indirect=True)
def test_x2_the_floor_of_this_box_counts_beside_that_of_the_release(server, tmp_path):
    assert Box(tmp_path, trusted=False).connect(server).version()
    TimeFloor(tmp_path / "time-floor").look(trusted=True, now_s=time.time() + 2 * 86_400, mono_s=0)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired at"):
        Box(tmp_path, trusted=False).connect(server)


@pytest.mark.parametrize("server", [2 * YEAR_S], indirect=True)
def test_chain_and_host_name_are_judged_without_a_clock_too(server, tmp_path):
    box = Box(tmp_path, trusted=False)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch|not valid for"):
        box.connect(server, "broker.example")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get local issuer"):
        box.connect((server[0], issue(tmp_path / "other").ca_file))


@pytest.mark.parametrize("server", [0], indirect=True)
def test_x3_a_good_connection_stays(server, tmp_path):
    box = Box(tmp_path, trusted=False)
    with box.connect(server) as sock:
        box.trusted = True
        box.dates.look()
        sock.sendall(b"here")
        assert sock.recv(100) == b"here"


@pytest.mark.parametrize("server", [2 * YEAR_S], indirect=True)
async def test_x3_holds_for_connections_of_asyncio(server, tmp_path):
    box = Box(tmp_path, trusted=False)
    address, authority = server
    reader, writer = await asyncio.open_connection(*address, ssl=box.context(authority), server_hostname="localhost")
    writer.write(b"here")
    assert await reader.read(100) == b"here"
    box.trusted = True
    box.dates.look()
    writer.write(b"gone")
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid before"):
        async with asyncio.timeout(30):
            await reader.read(100)
    writer.close()


def test_x4_the_floor_rises_at_once_and_hourly_and_goes_back_only_after_an_hour(tmp_path):
    file = tmp_path / "time-floor"
    floor = TimeFloor(file)
    late_s = datetime(2031, 1, 1, tzinfo=UTC).timestamp()
    assert floor.seconds == RELEASED.timestamp()

    def look(now_s: float, mono_s: float, *, trusted: bool = True) -> float:
        floor.look(trusted=trusted, now_s=now_s, mono_s=mono_s)
        return TimeFloor(file).seconds

    assert look(late_s, 1.0, trusted=False) == RELEASED.timestamp()
    assert look(late_s, 2.0) == late_s
    assert look(late_s + 60, 62.0) == late_s, "the file is written once an hour"
    assert look(late_s + HOUR_S, 2.0 + HOUR_S) == late_s + HOUR_S
    # The time server was wrong by a year: the right time counts once it has lasted.
    assert look(late_s, 3.0 + HOUR_S, trusted=False) == late_s + HOUR_S
    assert look(late_s - YEAR_S, 4.0 + HOUR_S) == late_s + HOUR_S
    assert look(late_s - YEAR_S + HOUR_S, 5.0 + 2 * HOUR_S) == late_s - YEAR_S + HOUR_S


def test_x4_a_file_that_is_not_a_time_counts_as_none(tmp_path):
    (tmp_path / "time-floor").write_text("yesterday\n")
    assert TimeFloor(tmp_path / "time-floor").seconds == RELEASED.timestamp()
