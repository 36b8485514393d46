"""sd_notify over real AF_UNIX datagram sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import pytest

from agent.systemd import Notifier


@pytest.fixture
def listener(tmp_path):
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def notifier(listener):
    with contextlib.closing(Notifier(listener.getsockname())) as made:
        yield made


def fields(listener) -> dict[str, str]:
    return dict(line.split("=", 1) for line in listener.recv(4096).decode().splitlines())


def test_each_word_is_one_datagram(listener, notifier):
    notifier.ready()
    assert fields(listener) == {"READY": "1"}
    notifier.watchdog()
    assert fields(listener) == {"WATCHDOG": "1"}
    notifier.stopping()
    assert fields(listener) == {"STOPPING": "1"}


def test_a_reload_carries_the_monotonic_clock(listener, notifier):
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    told = fields(listener)
    assert told["RELOADING"] == "1"
    assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


def test_status_is_one_line_and_cannot_smuggle_in_a_second_field(listener, notifier):
    notifier.status("waits for the broker\nREADY=1 " + "x" * 1000)
    told = fields(listener)
    assert list(told) == ["STATUS"]
    assert told["STATUS"].startswith("waits for the broker READY=1 x")
    assert len(told["STATUS"]) == 500


def test_the_abstract_namespace_is_reached():
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind("")  # the kernel picks a free abstract name
        sock.settimeout(5)
        name = sock.getsockname().decode().lstrip("\0")
        with contextlib.closing(Notifier("@" + name)) as notifier:
            notifier.ready()
            assert fields(sock) == {"READY": "1"}


def test_environment_is_read_and_taken_out(listener):
    environ = {
        "NOTIFY_SOCKET": listener.getsockname(),
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    with contextlib.closing(Notifier.from_environment(environ)) as notifier:
        assert notifier.listens
        assert notifier.watchdog_interval_s == pytest.approx(10)
        assert environ == {"HOME": "/"}
        notifier.ready()
        assert fields(listener) == {"READY": "1"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
    ids=["unset", "zero", "no number", "another process"],
)
def test_no_watchdog_is_kept_where_none_was_asked_of_this_process(environ):
    assert Notifier.from_environment(environ).watchdog_interval_s is None


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative/path"])
def test_without_a_socket_everything_is_silence(address):
    notifier = Notifier(address)
    notifier.ready()
    notifier.status("well")
    notifier.watchdog()
    assert not notifier.listens


def test_a_full_socket_never_blocks_and_what_it_refused_comes_later(listener, notifier, caplog):
    for number in range(10_000):  # far past net.unix.max_dgram_qlen: blocking would end in the test's time-out
        notifier.status(str(number))
    notifier.ready()
    heard = []
    listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(fields(listener))
    assert all("READY" not in told for told in heard)
    notifier.watchdog()
    assert fields(listener) == {"STATUS": "9999", "READY": "1", "WATCHDOG": "1"}
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_a_listener_that_comes_back_hears_the_latest(tmp_path, caplog):
    caplog.set_level("INFO", "tidegate.systemd")
    path = str(tmp_path / "late")
    with contextlib.closing(Notifier(path)) as notifier:
        notifier.reloading()
        notifier.ready()
        notifier.status("one")
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
            sock.bind(path)
            sock.settimeout(5)
            notifier.status("two")
            told = fields(sock)
    assert told == {"READY": "1", "STATUS": "two"}
    assert [record.getMessage() for record in caplog.records][-1] == "systemd can be notified again"
