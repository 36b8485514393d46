"""S1 to S4 of agent/supervisor/supervisor.py."""

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

import drivers
import sync.values
from agent.supervisor import EssentialUnitFailed, Policy, Stage, State, Supervisor, Unit

QUICK = Policy(
    crashes=3,
    crash_window_s=60,
    backoff_first_s=0.001,
    backoff_most_s=0.002,
    wait_s=(0.001, 0.002),
    failed_retry_s=30,
    steady_s=0.02,
    stop_s=0.2,
)


async def forever():
    await asyncio.Event().wait()


@asynccontextmanager
async def supervised(*units, policy=QUICK):
    seen = []
    supervisor = Supervisor(seen.append, policy)
    supervisor.seen = seen
    task = asyncio.create_task(supervisor.run(lambda: [supervisor.start(unit) for unit in units]))
    await asyncio.sleep(0)
    try:
        yield supervisor
    finally:
        supervisor.stop()
        await asyncio.gather(task, return_exceptions=True)
        supervisor.result = task


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def state(supervisor, name):
    return next(report for report in supervisor.reports() if report.name == name)


async def test_s1_a_crashing_unit_leaves_the_others_running_and_ends_as_failed():
    starts = 0

    async def crash():
        nonlocal starts
        starts += 1
        raise ValueError("segments")

    units = Unit("camera:a", Stage.SOURCE, crash), Unit("mqtt:barge", Stage.SOURCE, forever)
    async with supervised(*units) as supervisor:
        await until(lambda: state(supervisor, "camera:a").state is State.FAILED)
        assert starts == QUICK.crashes
        assert "gave up after 3 crashes, last ValueError: segments" in state(supervisor, "camera:a").reason
        assert state(supervisor, "mqtt:barge").state is State.RUNNING
        assert supervisor.answers()


async def test_s1_an_essential_unit_that_gives_up_ends_the_run_with_its_name():
    async def crash():
        raise ValueError("no writer")

    async with supervised(Unit("log", Stage.CONTROL, crash, essential=True), Unit("x", Stage.SHIP, forever)) as s:
        await until(lambda: s.is_stopping)
    with pytest.raises(EssentialUnitFailed, match="log: gave up"):
        s.result.result()


async def test_s1_a_cancellation_that_nobody_asked_for_is_a_crash_and_not_an_end():
    starts = 0

    async def waits_for_what_is_cancelled():
        nonlocal starts
        starts += 1
        if starts > 1:
            await forever()
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    async with supervised(Unit("model:fish", Stage.PROCESS, waits_for_what_is_cancelled)) as supervisor:
        await until(lambda: starts == 2)
        assert state(supervisor, "model:fish").crashes == 1
        assert supervisor.answers()


async def test_s2_not_ready_waits_without_end_and_counts_no_crash():
    tries = 0

    async def wait():
        nonlocal tries
        tries += 1
        raise drivers.NotReady("connection refused", "is the broker up?")

    async with supervised(Unit("mqtt:barge", Stage.SOURCE, wait)) as supervisor:
        await until(lambda: tries > 20)
        report = state(supervisor, "mqtt:barge")
        assert (report.crashes, report.hint) == (0, "is the broker up?")
        assert report.state in (State.WAITING, State.STARTING)


async def test_s2_misconfigured_is_tried_again_only_when_kicked():
    tries = 0

    async def fail():
        nonlocal tries
        tries += 1
        raise drivers.Misconfigured("bad password", field="mqtt[0].password_file")

    async with supervised(Unit("mqtt:barge", Stage.SOURCE, fail)) as supervisor:
        await until(lambda: state(supervisor, "mqtt:barge").state is State.FAILED)
        await asyncio.sleep(0.05)
        assert tries == 1
        supervisor.kick()
        await until(lambda: tries == 2)
        assert state(supervisor, "mqtt:barge").reason == "mqtt[0].password_file: bad password"


async def test_s2_misconfigured_may_say_when_to_try_again():
    tries = 0

    async def fail():
        nonlocal tries
        tries += 1
        raise drivers.Misconfigured("taken over", again_s=0.01)

    async with supervised(Unit("mqtt:barge", Stage.SOURCE, fail)) as supervisor:
        await until(lambda: tries == 3)
        await until(lambda: state(supervisor, "mqtt:barge").state is State.FAILED)


async def test_s2_misconfigured_may_say_what_another_try_waits_for():
    tries, mended = [], asyncio.Event()

    async def fail():
        fault = sync.values.Misconfigured("the broker refuses us")
        fault.again = mended.wait
        tries.append(mended.is_set())
        if mended.is_set():
            await forever()
        raise fault

    async with supervised(Unit("shipper", Stage.SHIP, fail)) as supervisor:
        await until(lambda: state(supervisor, "shipper").state is State.FAILED)
        await asyncio.sleep(0.05)
        assert tries == [False]
        mended.set()
        await until(lambda: state(supervisor, "shipper").state is State.RUNNING)
    assert tries == [False, True]


async def test_s3_a_wait_is_logged_once_and_its_end_once(caplog):
    caplog.set_level(logging.INFO, "tidegate.supervisor")
    tries = 0

    async def wait_then_serve():
        nonlocal tries
        tries += 1
        if tries < 10:
            raise drivers.NotReady("connection refused")
        await forever()

    async with supervised(Unit("mqtt:barge", Stage.SOURCE, wait_then_serve)) as supervisor:
        await until(lambda: any(record.levelno == logging.INFO for record in caplog.records))
        assert state(supervisor, "mqtt:barge").state is State.RUNNING
    assert [record.getMessage() for record in caplog.records] == [
        "mqtt:barge is waiting: connection refused",
        "mqtt:barge is running again",
    ]


async def test_s4_stages_stop_in_order_and_a_unit_that_will_not_stop_is_named():
    ended = []

    def unit(name, stage, delay_s=0.0):
        async def run():
            try:
                await forever()
            finally:
                if delay_s:
                    await asyncio.sleep(delay_s)
                ended.append(name)

        return Unit(name, stage, run)

    stubborn = unit("stubborn", Stage.PROCESS, delay_s=0.5)
    async with supervised(
        unit("http", Stage.CONTROL), unit("shipper", Stage.SHIP), stubborn, unit("mqtt", Stage.SOURCE)
    ) as supervisor:
        await asyncio.sleep(0.01)
    assert supervisor.stuck == ("stubborn",)
    assert ended == ["mqtt", "shipper", "http", "stubborn"]


async def test_a_unit_that_runs_but_does_not_serve_shows_what_it_waits_for():
    why = "no answer yet"
    async with supervised(Unit("mqtt:barge", Stage.SOURCE, forever, up=lambda: why)) as supervisor:
        await until(lambda: state(supervisor, "mqtt:barge").reason == "no answer yet")
        assert state(supervisor, "mqtt:barge").state is State.WAITING
        why = None
        assert state(supervisor, "mqtt:barge").state is State.RUNNING


async def test_after_a_reload_it_shows_what_it_waits_for_now_and_not_why_it_failed_before():
    why = "no answer yet"
    tries = 0

    async def fail_then_wait():
        nonlocal tries
        tries += 1
        if tries == 1:
            raise drivers.Misconfigured("bad password", hint="look at the file")
        await forever()

    policy = replace(QUICK, steady_s=30.0)
    async with supervised(
        Unit("mqtt:barge", Stage.SOURCE, fail_then_wait, up=lambda: why), policy=policy
    ) as supervisor:
        await until(lambda: state(supervisor, "mqtt:barge").state is State.FAILED)
        supervisor.kick()
        await until(lambda: tries == 2)
        report = state(supervisor, "mqtt:barge")
        assert (report.state, report.reason, report.hint) == (State.WAITING, "no answer yet", "")
        why = None
        report = state(supervisor, "mqtt:barge")
        assert (report.state, report.reason) == (State.STARTING, "tried again; before that: bad password")
        assert [told.state for told in supervisor.seen][-1] is State.FAILED, "an alert ends once it serves"


async def test_while_it_is_tried_again_it_shows_why_the_last_try_ended():
    """A broker that takes connections and says nothing is being connected to nearly all the time."""
    tries = 0

    async def wait_then_hang():
        nonlocal tries
        tries += 1
        if tries == 1:
            raise drivers.NotReady("no answer to a subscription")
        await forever()

    policy = replace(QUICK, steady_s=30.0)
    async with supervised(
        Unit("mqtt:barge", Stage.SOURCE, wait_then_hang, up=lambda: "connecting"), policy=policy
    ) as supervisor:
        await until(lambda: tries == 2)
        report = state(supervisor, "mqtt:barge")
        assert (report.state, report.reason) == (
            State.WAITING,
            "connecting; before that: no answer to a subscription",
        )


async def test_a_reload_has_those_look_again_that_wait_while_they_run():
    asked = []
    async with supervised(Unit("fleet", Stage.SHIP, forever, again=lambda: asked.append("fleet"))) as supervisor:
        supervisor.kick()
    assert asked == ["fleet"]


async def test_a_removed_unit_is_forgotten_and_its_name_free_again():
    async with supervised(Unit("camera:a", Stage.SOURCE, forever)) as supervisor:
        await supervisor.remove("camera:a")
        assert supervisor.reports() == []
        supervisor.start(Unit("camera:a", Stage.SOURCE, forever))
        assert [report.name for report in supervisor.reports()] == ["camera:a"]


async def test_a_finished_unit_stays_visible_as_finished():
    async def once():
        return

    async with supervised(Unit("camera:clip", Stage.SOURCE, once)) as supervisor:
        await until(lambda: state(supervisor, "camera:clip").state is State.FINISHED)
        assert supervisor.answers()


async def test_the_end_of_a_removed_unit_is_told():
    async def fail():
        raise drivers.Misconfigured("bad password")

    async with supervised(Unit("mqtt:barge", Stage.SOURCE, fail)) as supervisor:
        await until(lambda: state(supervisor, "mqtt:barge").state is State.FAILED)
        await supervisor.remove("mqtt:barge")
        assert [report.state for report in supervisor.seen][-2:] == [State.FAILED, State.STOPPED]
