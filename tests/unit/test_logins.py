"""When a refused login is tried again: less and less often, at once with another password, one attempt at a time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from sync.kafka import KafkaSettings, Logins
from sync.kafka.connection import logins
from sync.values import Misconfigured, Unreachable

WHERE, OTHER = "b1:9092", "b2:9092"


@pytest.fixture
def settings(tmp_path):
    password = tmp_path / "password"
    password.write_text("guess")
    return KafkaSettings((WHERE,), security="sasl_ssl", username="gw", password_file=password)


class Cluster:
    """Counts the logins that reach it, and refuses those with the wrong password."""

    def __init__(self):
        self.now_s = 1_000.0
        self.logins = Logins(lambda: self.now_s)
        self.tried = 0
        self.password = "right"

    async def login(self, settings, where=WHERE):
        async with self.logins.attempt(settings, where):
            self.tried += 1
            await asyncio.sleep(0)
            if settings.password_file.read_text() != self.password:
                raise self.logins.refused(settings, where, Misconfigured("refused", "kafka.password_file"))
            self.logins.let_in(where)

    async def refused(self, settings, where=WHERE):
        with pytest.raises(Misconfigured) as fault:
            await self.login(settings, where)
        return fault.value


async def test_a_refused_login_is_tried_after_half_a_minute_and_later_every_five_minutes(settings):
    cluster, tries = Cluster(), []
    for second in range(3_600):
        before = cluster.tried
        await cluster.refused(settings)
        if cluster.tried > before:
            tries.append(second)
        cluster.now_s += 1
    pauses = [after - before for before, after in pairwise(tries)]
    assert 24 <= pauses[0] <= 30
    assert pauses[:4] == sorted(pauses[:4])
    assert all(240 <= pause <= 300 for pause in pauses[4:])
    assert len(tries) < 20, "an hour of it locks no account that allows a few an hour more than a person makes"


async def test_what_the_broker_mended_is_found_without_a_change_here(settings):
    cluster = Cluster()
    await cluster.refused(settings)
    cluster.password = "guess"
    cluster.now_s += 30
    await cluster.login(settings)
    await cluster.login(settings)
    assert cluster.tried == 3


async def test_another_content_of_the_file_is_tried_at_once_and_wakes_whoever_waits(settings, monkeypatch):
    monkeypatch.setattr(logins, "_LOOK_S", 0.005)
    cluster = Cluster()
    fault = await cluster.refused(settings)
    waiting = asyncio.ensure_future(fault.again())
    await asyncio.sleep(0.05)
    settings.password_file.touch()
    await asyncio.sleep(0.05)
    assert not waiting.done(), "the same content"
    settings.password_file.write_text("right")
    await asyncio.wait_for(waiting, 30)
    await cluster.login(settings)
    assert cluster.tried == 2


async def test_the_pause_that_is_over_wakes_whoever_waits_and_so_does_a_person_who_says_that_it_is_mended(
    settings, monkeypatch
):
    monkeypatch.setattr(logins, "_LOOK_S", 0.005)
    cluster = Cluster()
    for mend in (lambda: setattr(cluster, "now_s", cluster.now_s + 31), cluster.logins.try_now):
        waiting = asyncio.ensure_future((await cluster.refused(settings)).again())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        mend()
        await asyncio.wait_for(waiting, 30)
    tried = cluster.tried
    await cluster.refused(settings)
    assert cluster.tried == tried + 1


async def test_all_clients_of_a_link_make_one_attempt_together(settings):
    cluster = Cluster()
    await cluster.refused(settings)
    cluster.now_s += 31
    everywhere = [cluster.login(settings, where) for where in (WHERE, OTHER, "b3")]
    found = await asyncio.gather(*everywhere, return_exceptions=True)
    assert [type(fault) for fault in found] == [Misconfigured] * 3
    assert cluster.tried == 2
    cluster.now_s += 61
    cluster.password = "guess"
    await asyncio.gather(*(cluster.login(settings, where) for where in (WHERE, OTHER, "b3")))
    assert cluster.tried == 5, "once one is let in, all are"


async def test_several_refusals_of_the_same_moment_are_one_of_the_row(settings):
    cluster = Cluster()
    await asyncio.gather(*(cluster.login(settings) for _ in range(4)), return_exceptions=True)
    assert cluster.tried == 4
    cluster.now_s += 30
    await cluster.refused(settings)
    assert cluster.tried == 5


async def test_a_cluster_that_let_us_in_is_pardoned_for_a_minute_broker_by_broker(settings):
    cluster = Cluster()
    cluster.password = "guess"
    await cluster.login(settings)
    cluster.password = "right"
    tried = cluster.tried
    for _ in range(59):
        with pytest.raises(Unreachable):
            await cluster.login(settings)
        cluster.now_s += 1
    assert 3 <= cluster.tried - tried <= 6, "not at each question"
    cluster.password = "guess"
    await cluster.login(settings, OTHER)
    cluster.now_s += 31
    cluster.password = "right"
    with pytest.raises(Unreachable):
        await cluster.login(settings)  # its minute begins again with whoever was let in
    cluster.now_s += 61
    await cluster.refused(settings)
