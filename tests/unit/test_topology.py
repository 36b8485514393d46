"""T1 to T4 of agent/reload/topology.py."""

import asyncio
from contextlib import asynccontextmanager

from agent.reload import Part, Planned, Topology
from agent.supervisor import Stage, Supervisor, Unit
from drivers import Misconfigured


class Trace:
    def __init__(self):
        self.events = []

    def plan(self, name, settings, *, adapts=None):
        def build(given):
            async def run():
                self.events.append(f"start {name} {given}")
                try:
                    await asyncio.Event().wait()
                finally:
                    self.events.append(f"stop {name}")

            async def adapt(fresh):
                self.events.append(f"adapt {name} {fresh}")
                if isinstance(adapts, Exception):
                    raise adapts
                return adapts

            return Part(Unit(name, Stage.SOURCE, run), None if adapts is None else adapt)

        return Planned(name, settings, build)


@asynccontextmanager
async def topology():
    supervisor = Supervisor(lambda _: None)
    started = asyncio.Event()
    task = asyncio.create_task(supervisor.run(started.set))
    await started.wait()
    try:
        yield Topology(supervisor)
    finally:
        supervisor.stop()
        await task


async def test_t1_units_with_equal_settings_are_not_touched():
    trace = Trace()
    async with topology() as units:
        await units.change([trace.plan("mqtt:a", 1), trace.plan("mqtt:b", 1)])
        await asyncio.sleep(0)
        change = await units.change([trace.plan("mqtt:a", 1), trace.plan("mqtt:b", 2)])
        await asyncio.sleep(0)
        assert change.units() == ["mqtt:b"]
        assert trace.events == ["start mqtt:a 1", "start mqtt:b 1", "stop mqtt:b", "start mqtt:b 2"]


async def test_t2_a_unit_that_can_adapt_goes_on_and_is_compared_with_what_it_took():
    trace = Trace()
    async with topology() as units:
        await units.change([trace.plan("mqtt:a", 1, adapts=True)])
        await asyncio.sleep(0)
        assert (await units.change([trace.plan("mqtt:a", 2, adapts=True)])).adapted == ["mqtt:a"]
        assert (await units.change([trace.plan("mqtt:a", 2, adapts=True)])).units() == []
        assert trace.events == ["start mqtt:a 1", "adapt mqtt:a 2"]


async def test_t2_a_unit_that_cannot_adapt_is_restarted():
    trace = Trace()
    async with topology() as units:
        await units.change([trace.plan("mqtt:a", 1, adapts=False)])
        await asyncio.sleep(0)
        assert (await units.change([trace.plan("mqtt:a", 2, adapts=False)])).restarted == ["mqtt:a"]


async def test_t3_what_goes_goes_before_what_comes():
    trace = Trace()
    async with topology() as units:
        await units.change([trace.plan("camera:old", 1)])
        await asyncio.sleep(0)
        change = await units.change([trace.plan("camera:new", 1)])
        await asyncio.sleep(0)
        assert (change.removed, change.added) == (["camera:old"], ["camera:new"])
        assert trace.events == ["start camera:old 1", "stop camera:old", "start camera:new 1"]


async def test_t4_a_unit_that_cannot_adapt_for_a_fault_is_built_anew_and_the_others_follow():
    trace = Trace()
    async with topology() as units:
        await units.change([trace.plan("mqtt:a", 1, adapts=Misconfigured("no such topic", "topic", "write one"))])
        await asyncio.sleep(0)
        change = await units.change(
            [trace.plan("mqtt:a", 2, adapts=Misconfigured("no such topic", "topic", "write one")), trace.plan("x", 1)]
        )
        await asyncio.sleep(0)
        assert change.units() == ["mqtt:a", "x"]
        assert trace.events == ["start mqtt:a 1", "adapt mqtt:a 2", "stop mqtt:a", "start mqtt:a 2", "start x 1"]
