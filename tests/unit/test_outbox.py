"""What the hub may take for kept: the outbox over the log on disk."""

import asyncio

import pytest

from agent.pipeline import Outbox
from sync.log import SqliteLog
from sync.values import Misconfigured, NotReady
from tests.support.log import drain, envelopes, running, settings


async def test_a_log_that_cannot_be_opened_lets_nobody_acknowledge_and_what_waits_goes_into_the_next_run(tmp_path):
    log = SqliteLog(settings(tmp_path))
    waiting = Outbox(log).post(envelopes("waiting"))
    async with running(SqliteLog(settings(tmp_path))) as first:
        await first.changed(0)
        with pytest.raises(Misconfigured, match="another daemon"):
            await log.run()
        await asyncio.sleep(0.05)
        assert not waiting.done()
    async with running(log):
        await waiting
        assert [value for values in (await drain(log)).values() for value in values] == ["waiting"]


async def test_refusals_of_a_closed_log_are_one_line_and_their_end_is_one(tmp_path, caplog):
    caplog.set_level("INFO", "tidegate.outbox")
    log = SqliteLog(settings(tmp_path))
    outbox = Outbox(log)
    async with running(log):
        await outbox.post(envelopes("kept"))
        seen = await log.changed(0)
    for _ in range(3):
        with pytest.raises(NotReady):
            await outbox.post(envelopes("refused"))
    async with running(log):
        await log.changed(seen)
        await outbox.post(envelopes("kept too"))
    assert [record.message for record in caplog.records if record.name == "tidegate.outbox"] == [
        "the log does not accept records: the log is closed",
        "the log accepts records again; 3 batches were refused",
    ]


async def test_a_folder_that_cannot_be_used_is_one_line_and_its_end_is_one(tmp_path, caplog):
    caplog.set_level("INFO", "tidegate.log")
    (tmp_path / "state").write_text("in the way")
    log = SqliteLog(settings(tmp_path / "state", log_stall_s=60.0))
    posted = Outbox(log).post(envelopes("kept"))
    async with running(log):
        await asyncio.sleep(1.5)
        (tmp_path / "state").unlink()
        await posted
    said = [record.message for record in caplog.records if "folder" in record.message]
    assert len(said) == 2
    assert said[1].startswith("the log's folder is usable again, after")
