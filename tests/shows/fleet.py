"""A fleet on one cluster: many real shippers in one process, at rest, under load, and back together after an outage.

What it costs the brokers is measured at 50, 100 and 200 gateways, and carried on to 3,000 by the cost of a request,
which it says. The gateways' logs are in memory; what they send is what a daemon sends.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import uvloop

from tests.support.daemon import cpu_s
from tests.support.fleet import PARTITIONS, Fleet, brokers_of, create_topic, pids
from tests.support.kafka import ApacheKafka

if TYPE_CHECKING:
    from collections.abc import Sequence

FLEET = 3_000


async def idle_cpu(cluster: Any, seconds: float) -> float:
    """What the brokers use with nobody there, in percent of a core."""
    before = sum(cpu_s(pid) for pid in pids(cluster))
    await asyncio.sleep(seconds)
    return (sum(cpu_s(pid) for pid in pids(cluster)) - before) / seconds * 100


def producer_state_bytes(cluster: Any) -> tuple[int, int]:
    """How many producer entries the first node keeps, and the bytes of the classes that make them up (jcmd)."""
    command = ["jcmd", str(pids(cluster)[0]), "GC.class_histogram"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    entries = total = 0
    for line in found.splitlines():
        fields = line.split()
        if len(fields) >= 4 and fields[3].rpartition(".")[2] in _STATE:
            total += int(fields[2])
            entries += int(fields[1]) if fields[3].endswith("ProducerStateEntry") else 0
    return entries, total


_STATE = ("ProducerStateEntry", "BatchMetadata", "VerificationStateEntry")


async def show(cluster: Any, sizes: Sequence[int], seconds: float, per_second: float, backlog: int) -> bool:
    """All of it, printed as it comes."""
    create_topic(cluster)
    async with Fleet(cluster, min(sizes)) as fleet:
        await fleet.load(per_second, 0.2, seconds, 0.0)  # so that what follows is not the compiler's work
    idle = await idle_cpu(cluster, 5.0)
    nodes = len(brokers_of(cluster))
    print(f"{nodes} nodes, {PARTITIONS} partitions; brokers idle: {idle:.0f} % of a core", flush=True)
    print("\n| gateways | a batch every | requests/s | records/s | brokers' CPU | a request | brokers' memory "
          "| link bytes a record | gateways' CPU |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    loads = []
    for interval_s in (0.2, 1.0):
        for size in sizes:
            async with Fleet(cluster, size) as fleet:
                loads.append(await fleet.load(per_second, interval_s, seconds, idle))
            print(loads[-1], flush=True)
    for interval_s in (0.2, 1.0):
        each = [load.us_per_request for load in loads if load.interval_s == interval_s and load.kept_up]
        if each:
            print(
                f"carried on to {FLEET} gateways with a batch every {interval_s * 1000:.0f} ms: "
                f"{FLEET / interval_s:.0f} requests/s, {FLEET / interval_s * min(each) / 1e6:.1f} to "
                f"{FLEET / interval_s * max(each) / 1e6:.1f} cores of brokers"
            )
    print("\n| gateways | spread | backlog each | first fresh, median | the last | all drained | connections "
          "| brokers' busiest second | requests/s then | records/s then | unanswered |"
          "\n|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    returns = []
    for spread_s in (0.0, 20.0):
        for size in sizes:
            async with Fleet(cluster, size, spread_s) as fleet:
                returns.append(await fleet.come_back(backlog, per_second, idle))
            print(returns[-1], flush=True)
    entries, total = await asyncio.to_thread(producer_state_bytes, cluster)
    each = total / max(entries, 1)
    print(
        f"\nproducer state on one node: {entries} entries, {each:.0f} bytes each; {FLEET} gateways with three lanes "
        f"and a start a day: {FLEET * 3 * each / 2**20:.1f} MiB on each node that holds their partitions"
    )
    return all(r.retries == 0 for r in returns)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.fleet", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--per-second", type=float, default=20.0)
    parser.add_argument("--backlog", type=int, default=4_000)
    given = parser.parse_args()
    if given.nodes == 1:
        made: Any = ApacheKafka()
    else:
        from tests.support.cluster import KafkaCluster  # noqa: PLC0415 - a gigabyte of Java, only where asked for

        made = KafkaCluster()
    with made as cluster, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        good = runner.run(show(cluster, given.sizes, given.seconds, given.per_second, given.backlog))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
