import asyncio
import socket
import stat
from contextlib import asynccontextmanager

import httpx
import pytest

from agent.http import HttpServer
from sync.values import NotReady


class Patient:
    def __init__(self):
        self.reasons = []
        self.outcome = "applied"

    def live(self):
        return True

    def ready(self):
        return self.reasons

    def detailed(self):
        return {"units": []}

    def metrics(self):
        return b"a 1\n", "text/plain; version=0.0.4; charset=utf-8"

    async def reload(self):
        return {"outcome": self.outcome}


@pytest.fixture
def patient():
    return Patient()


@asynccontextmanager
async def serving(server):
    task = asyncio.create_task(server.run())
    async with asyncio.timeout(20):
        while server.port is None:
            assert not task.done(), task
            await asyncio.sleep(0.01)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def tcp(server):
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=10)


def unix(folder):
    transport = httpx.AsyncHTTPTransport(uds=str(folder / "tidegate.sock"))
    return httpx.AsyncClient(base_url="http://gateway", transport=transport, timeout=10)


async def test_tcp_answers_what_may_be_read_and_changes_nothing(tmp_path, patient):
    server = HttpServer("127.0.0.1", 0, tmp_path, patient)
    async with serving(server), tcp(server) as client:
        page = await client.get("/metrics")
        assert (page.text, page.headers["content-type"]) == ("a 1\n", "text/plain; version=0.0.4; charset=utf-8")
        assert (await client.get("/health/live")).json() == {"live": True}
        assert (await client.get("/health/detailed")).json() == {"units": []}
        assert (await client.post("/reload")).status_code == 404
        assert (await client.get("/openapi.json")).status_code == 404


async def test_ready_fails_with_its_reasons(tmp_path, patient):
    server = HttpServer("127.0.0.1", 0, tmp_path, patient)
    patient.reasons = ["log stalled"]
    async with serving(server), tcp(server) as client:
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": ["log stalled"]})
        patient.reasons = []
        assert (await client.get("/health/ready")).status_code == 200


async def test_the_unix_socket_takes_verbs_and_is_closed_to_others(tmp_path, patient):
    server = HttpServer("127.0.0.1", 0, tmp_path, patient)
    async with serving(server), unix(tmp_path) as client:
        assert (await client.post("/reload")).json() == {"outcome": "applied"}
        patient.outcome = "refused"
        assert (await client.post("/reload")).status_code == 409
        assert stat.S_IMODE((tmp_path / "tidegate.sock").stat().st_mode) == 0o660
    assert not (tmp_path / "tidegate.sock").exists()


async def test_the_bound_port_stands_in_a_file(tmp_path, patient):
    server = HttpServer("127.0.0.1", 0, tmp_path, patient)
    async with serving(server):
        assert int((tmp_path / "http.port").read_text()) == server.port


async def test_a_port_in_use_waits_and_leaves_no_socket_behind(tmp_path, patient):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = HttpServer("127.0.0.1", taken.getsockname()[1], tmp_path, patient)
        with pytest.raises(NotReady, match="in use"):
            await server.run()
    assert list(tmp_path.iterdir()) == []


async def test_a_stale_socket_is_replaced_and_a_live_one_refused(tmp_path, patient):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "tidegate.sock"))
    server = HttpServer("127.0.0.1", 0, tmp_path, patient)
    async with serving(server):
        with pytest.raises(NotReady, match="another daemon answers"):
            await HttpServer("127.0.0.1", 0, tmp_path, patient).run()
        async with unix(tmp_path) as client:
            assert (await client.get("/health/live")).status_code == 200
