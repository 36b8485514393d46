"""The model host while it loads: other models answer, and a load that kills or hangs is known by its own file."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from models.host import ModelHost
from models.values import Misconfigured, NotReady
from tests.support.model_host import PATIENCE_S, Memory, Pipe, asked, brightest, until
from tests.support.models import halves, sides

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def host() -> Iterator[ModelHost]:
    host = ModelHost()
    yield host
    host.close()


def test_a_model_that_loads_for_long_keeps_no_other_from_answering(host, tmp_path):
    fast, slow = host.load("fast", halves(tmp_path / "fast")), Pipe(tmp_path / "slow")
    memory = Memory("one", 204, 20)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(host.load, "slow", slow.folder)
        descriptor = slow.reader()
        for _ in range(50):
            assert brightest(fast, memory) == pytest.approx(0.0, abs=1e-3)
        assert not loading.done()
        slow.finish(descriptor)
        assert brightest(loading.result(PATIENCE_S), memory) == pytest.approx(0.0, abs=1e-3)
    assert host.restarts == 0
    os.close(memory.fd)


def test_a_model_closed_while_another_loads_gives_its_memory_back_at_once(host, tmp_path):
    fast, slow = host.load("fast", halves(tmp_path / "fast")), Pipe(tmp_path / "slow")
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(host.load, "slow", slow.folder)
        descriptor = slow.reader()
        fast.close()
        assert not loading.done()
        slow.finish(descriptor)
        assert loading.result(PATIENCE_S).predict([sides(204, 20)])[0].detections


def test_closing_wakes_who_waits_for_a_load(host, tmp_path):
    slow = Pipe(tmp_path / "slow")
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(host.load, "slow", slow.folder)
        descriptor = slow.reader()
        host.close()
        with pytest.raises(NotReady, match="closed"):
            loading.result(PATIENCE_S)
        os.close(descriptor)


def test_a_death_beside_a_load_is_not_put_down_to_the_model_that_looks(tmp_path):
    """Else a file that kills its process at each try would have every other model refused with it."""
    host = ModelHost(answer_timeout_s=3600)
    fast, slow = host.load("fast", halves(tmp_path / "fast")), Pipe(tmp_path / "slow")
    try:
        for attempt in range(1, 4):
            fast.predict([sides(204, 20)])
            with ThreadPoolExecutor(2) as pool:
                loading = pool.submit(host.load, "slow", slow.folder)
                descriptor = slow.reader()
                pid = host.pid
                os.kill(pid, signal.SIGSTOP)
                looking = pool.submit(fast.predict, [sides(204, 20)])
                until(lambda pid=pid: asked(pid, threads=2))
                os.kill(pid, signal.SIGKILL)  # the one end that comes before it goes on and answers
                assert isinstance(looking.exception(PATIENCE_S), NotReady)
                assert isinstance(loading.exception(PATIENCE_S), Misconfigured if attempt == 3 else NotReady)
                os.close(descriptor)
        assert fast.predict([sides(204, 20)])[0].detections
    finally:
        host.close()


def test_a_load_that_hangs_is_ended_and_is_put_down_to_its_own_model(tmp_path):
    host = ModelHost()
    fast, slow = host.load("fast", halves(tmp_path / "fast")), Pipe(tmp_path / "slow")
    try:
        host._load_timeout_s = 0.5
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(host.load, "slow", slow.folder)
            descriptor = slow.reader()
            error = loading.exception(PATIENCE_S)
            os.close(descriptor)
        assert isinstance(error, NotReady)
        assert "did not answer within" in error.reason
        host._load_timeout_s = 60
        assert fast.predict([sides(204, 20)])[0].detections
        assert host.restarts == 1
    finally:
        host.close()
