"""The real server on ephemeral ports and a socket of its own, asked by httpx."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat

import httpx
import pytest

from agent.http import ControlSocket, HttpServer
from agent.http import serving as serving_module
from agent.metrics import CONTENT_TYPE, Metrics, Sample
from sync.values import NotReady


class Hub:
    """A small hub in place of the daemon's."""

    farm = None

    def __init__(self):
        self.alive = True
        self.reasons = []
        self.outcome = "applied"
        self.reloads = 0
        self.figures = Metrics()
        self.figures.source(lambda: [Sample("tidegate_build_info", 1, ("0",))])

    def live(self):
        return self.alive

    def ready(self):
        return self.reasons

    def detailed(self):
        return {"gateway": "g", "units": []}

    def metrics(self):
        return self.figures.page(), CONTENT_TYPE

    def business_metrics(self):
        return b"", "text/plain"

    async def decide_log(self, *, adopt):
        return {"records": 7 if adopt else 0}

    async def reload(self):
        self.reloads += 1
        return {"outcome": self.outcome}


@pytest.fixture
def hub():
    return Hub()


@contextlib.asynccontextmanager
async def served(hub, folder, port=0, host="127.0.0.1"):
    server = HttpServer(host, port, folder, hub)

    async def both():
        # As they fail apart in the daemon, so the first fault ends both here.
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run())
            group.create_task(ControlSocket(folder, hub).run())

    task = asyncio.create_task(both())
    try:
        async with asyncio.timeout(20):
            while not task.done():
                with contextlib.suppress(httpx.TransportError):
                    async with over_unix(folder) as client:
                        await client.get("/health/live")
                        break
                await asyncio.sleep(0.01)
        if task.done():
            task.result()
        yield server
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, NotReady):
            await task


def over_unix(folder):
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(folder / "tidegate.sock")), base_url="http://tidegate"
    )


def over_tcp(server):
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}")


async def test_health_says_whether_it_lives_whether_it_serves_and_why_not(hub, folder):
    async with served(hub, folder) as server, over_tcp(server) as client:
        assert (await client.get("/health/live")).json() == {"live": True}
        assert (await client.get("/health/ready")).json() == {"ready": True, "reasons": []}
        assert (await client.get("/health/detailed")).json() == {"gateway": "g", "units": []}
        hub.alive, hub.reasons = False, ["log: cannot write to its disk"]
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
        assert (live.status_code, live.json()) == (503, {"live": False})
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "reasons": hub.reasons})


async def test_head_is_answered_as_get_is_and_without_a_body(hub, folder):
    async with served(hub, folder) as server, over_tcp(server) as tcp, over_unix(folder) as unix:
        for reasons in ([], ["log: cannot write to its disk"]):
            hub.reasons, hub.alive = reasons, not reasons
            for client in (tcp, unix):
                for path in ("/health/live", "/health/ready", "/health/detailed", "/metrics"):
                    got, head = await client.get(path), await client.head(path)
                    assert (head.status_code, head.content) == (got.status_code, b""), path
                    assert head.headers["content-type"] == got.headers["content-type"]
                    assert head.headers["content-length"] == got.headers["content-length"] or path == "/metrics"
        assert (await unix.head("/reload")).status_code == 405


async def test_metrics_come_in_the_text_format_on_both(hub, folder):
    async with served(hub, folder) as server, over_tcp(server) as tcp, over_unix(folder) as unix:
        for client in (tcp, unix):
            answer = await client.get("/metrics")
            assert answer.headers["content-type"] == CONTENT_TYPE
            assert 'tidegate_build_info{version="0"} 1.0' in answer.text


async def test_a_reload_is_for_the_unix_socket_alone(hub, folder):
    """H1."""
    async with served(hub, folder) as server, over_tcp(server) as tcp, over_unix(folder) as unix:
        assert (await tcp.post("/reload")).status_code == 404
        assert hub.reloads == 0
        assert (await unix.post("/reload")).json() == {"outcome": "applied"}
        hub.outcome = "refused"
        assert (await unix.post("/reload")).status_code == 409
        assert hub.reloads == 2


async def test_nothing_is_described_to_strangers(hub, folder):
    async with served(hub, folder) as server, over_tcp(server) as client:
        for path in ("/docs", "/redoc", "/openapi.json", "/"):
            assert (await client.get(path)).status_code == 404
        assert "server" not in (await client.get("/metrics")).headers


async def test_the_port_that_was_found_is_written_beside_the_socket_and_goes_with_it(hub, folder):
    async with served(hub, folder) as server:
        assert int((folder / "http.port").read_text()) == server.port > 0
        assert stat.S_IMODE((folder / "tidegate.sock").stat().st_mode) == 0o660
    assert list(folder.iterdir()) == []
    assert server.port is None


async def test_a_socket_file_that_nobody_serves_is_replaced(hub, folder):
    """H2."""
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(folder / "tidegate.sock"))
    async with served(hub, folder), over_unix(folder) as client:
        assert (await client.get("/health/live")).status_code == 200


async def test_a_daemon_that_answers_is_not_pushed_out(hub, folder):
    async with served(hub, folder), over_unix(folder) as client:
        with pytest.raises(NotReady, match="another daemon answers"):
            await ControlSocket(folder, Hub()).run()
        assert (await client.get("/health/live")).status_code == 200


async def test_h4_a_port_in_use_waits_and_says_what_to_do(hub, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(NotReady, match="is in use") as caught:
        await HttpServer("127.0.0.1", taken.getsockname()[1], folder, hub).run()
    assert "http.port" in caught.value.hint
    assert not (folder / "tidegate.sock").exists()


async def test_an_address_that_is_not_there_yet_is_waited_for(hub, folder):
    # 192.0.2.0/24 is set aside for documents; no machine has it.
    with pytest.raises(NotReady, match="no address"):
        await HttpServer("192.0.2.1", 0, folder, hub).run()


async def test_a_runtime_directory_that_cannot_be_had_is_waited_for(hub, folder):
    (folder / "file").write_text("")
    run = folder / "file" / "run"
    for server in (HttpServer("127.0.0.1", 0, run, hub), ControlSocket(run, hub)):
        with pytest.raises(NotReady, match="cannot write into") as caught:
            await server.run()
        assert "gateway.runtime_dir" in caught.value.hint


async def test_it_stops_in_order_and_at_once_although_a_client_holds_its_connection(hub, folder):
    async with served(hub, folder) as server, over_tcp(server) as client:
        await client.get("/health/live")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /health/live HTTP/1.1\r\n")
        await writer.drain()
    async with asyncio.timeout(20):
        await reader.read()
    writer.close()


async def test_the_same_port_serves_again_after_a_stop(hub, folder):
    async with served(hub, folder) as server, over_tcp(server) as client:
        await client.get("/health/live")
        port = server.port
    async with served(hub, folder, port=port) as again, over_tcp(again) as client:
        assert again.port == port
        assert (await client.get("/health/live")).status_code == 200


async def test_h3_connections_without_a_request_end_and_never_keep_others_out(hub, folder, monkeypatch):
    monkeypatch.setattr(serving_module, "_REQUEST_S", 0.2)
    async with served(hub, folder) as server, asyncio.timeout(30):
        parked = []
        for number in range(150):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            parked.append((reader, writer))
            if number % 2:
                writer.write(b"GET /health/live HTTP/1.1\r\nX: ")
        for reader, writer in parked:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        async with over_tcp(server) as client:
            assert (await client.get("/health/live")).status_code == 200


async def test_h3_an_answer_may_take_its_time(hub, folder, monkeypatch):
    monkeypatch.setattr(serving_module, "_REQUEST_S", 0.1)

    async def slow():
        await asyncio.sleep(1)
        return {"outcome": "applied"}

    hub.reload = slow
    async with served(hub, folder), over_unix(folder) as client:
        assert (await client.post("/reload")).status_code == 200
