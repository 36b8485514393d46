"""R1 to R5 of agent/reload/reload.py, and which document holds at a start."""

import asyncio
import dataclasses
from contextlib import asynccontextmanager

import pytest

from agent.config import ConfigErrors, Problem, digest
from agent.reload import Applied, Hooks, LastGood, Part, Planned, Reload, Topology, choose
from agent.supervisor import Stage, Supervisor, Unit

DOCUMENT = """\
gateway: {{id: gw-1, site: site-1, state_dir: {state}, runtime_dir: {state}}}
kafka: {{brokers: ["127.0.0.1:9092"]}}
mqtt:
  - {{name: barge, local: true, keepalive_s: {keepalive}}}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(DOCUMENT.format(state=tmp_path, keepalive=30))
    return path


def edition(path, keepalive):
    return DOCUMENT.format(state=path.parent, keepalive=keepalive)


class Hub:
    def __init__(self):
        self.reports = []
        self.refusals = []
        self.starts = []

    def plan(self, config):
        def build(settings):
            async def run():
                self.starts.append(settings)
                await asyncio.Event().wait()

            return Part(Unit("mqtt:barge", Stage.SOURCE, run))

        return [Planned("mqtt:barge", config.mqtt[0].keepalive_s, build)]


@asynccontextmanager
async def running(path, hub):
    supervisor = Supervisor(lambda _: None)
    started = asyncio.Event()
    task = asyncio.create_task(supervisor.run(started.set))
    await started.wait()
    choice = choose(path)
    hooks = Hooks(hub.plan, lambda _: hub.refusals, lambda _: None, hub.reports.append)
    reload = Reload(path, Topology(supervisor), hooks, choice)
    await reload.start(choice)
    await asyncio.sleep(0)
    try:
        yield reload
    finally:
        supervisor.stop()
        await task


async def test_r1_a_push_that_is_not_valid_changes_nothing_and_is_refused_with_its_line(path):
    hub = Hub()
    async with running(path, hub) as reload:
        report = await reload.from_push(7, edition(path, "often").encode())
        assert (report.outcome, report.offset, report.source) == ("refused", 7, "push")
        assert "push at offset 7:4: mqtt[0].keepalive_s" in report.problems[0]
        assert hub.starts == [30]
        assert reload.current.source == "file"


async def test_r5_a_push_that_we_stumble_over_is_refused_and_the_next_one_gets_its_turn(path):
    hub = Hub()
    async with running(path, hub) as reload:
        reload._hooks = dataclasses.replace(reload._hooks, plan=lambda _: 1 // 0)
        report = await reload.from_push(7, edition(path, 40).encode())
        assert (report.outcome, report.offset) == ("refused", 7)
        assert "ZeroDivisionError" in report.problems[0]
        reload._hooks = dataclasses.replace(reload._hooks, plan=hub.plan)
        assert reload.current.source == "file"
        assert (await reload.from_push(8, edition(path, 50).encode())).outcome == "applied"


async def test_r5_what_half_of_such_a_push_changed_is_changed_back(path):
    hub = Hub()

    def plan(config):
        def build(_):
            raise ValueError("segments")

        fresh = [Planned("camera:new", 1, build)] if config.mqtt[0].keepalive_s == 40 else []
        return [*hub.plan(config), *fresh]

    async with running(path, hub) as reload:
        reload._hooks = dataclasses.replace(reload._hooks, plan=plan)
        assert (await reload.from_push(7, edition(path, 40).encode())).outcome == "refused"
        await asyncio.sleep(0)
        assert hub.starts[-1] == 30
        assert [settings for settings, _ in reload._topology._running.values()] == [30]


@pytest.mark.parametrize("document", [b"\xff\xfe", b"", b"[]", b"{" * 100_000])
async def test_r1_rubbish_is_refused(path, document):
    async with running(path, Hub()) as reload:
        assert (await reload.from_push(1, document)).outcome == "refused"


async def test_r1_what_config_names_and_cannot_work_is_refused_while_another_runs(path):
    hub = Hub()
    async with running(path, hub) as reload:
        hub.refusals = [Problem("", 0, ("models", 0, "path"), "damaged", "copy it again")]
        report = await reload.from_push(1, edition(path, 60).encode())
        assert (report.outcome, report.problems) == ("refused", ["models[0].path: damaged (hint: copy it again)"])


async def test_r1_another_gateways_document_is_refused(path):
    async with running(path, Hub()) as reload:
        other = edition(path, 60).replace("gw-1", "gw-2").encode()
        report = await reload.from_push(1, other)
        assert report.outcome == "refused"
        assert "gateway.id: a push may not change this key" in report.problems[0]


async def test_r1_a_push_of_what_config_yaml_pins_is_refused_once_and_what_runs_goes_on(path):
    """P1."""
    hub = Hub()
    async with running(path, hub) as reload:
        report = await reload.from_push(7, edition(path, 60).replace("127.0.0.1:9092", "evil.example:9092").encode())
        assert report.outcome == "refused"
        (problem,) = report.problems
        assert problem.startswith("push at offset 7:2: kafka.brokers: a push may not change this key")
        assert "list kafka.brokers in fleet.may_change" in problem
        assert [one.outcome for one in hub.reports] == ["applied", "refused"]
        assert hub.starts == [30]


async def test_r1_what_config_yaml_pins_is_what_it_says_since_it_was_last_applied(path):
    """P2."""
    hub = Hub()
    listed = "fleet: {partition: 0, may_change: [kafka.brokers]}\n"
    async with running(path, hub) as reload:
        moved = edition(path, 60).replace("127.0.0.1:9092", "other.example:9092") + listed
        assert (await reload.from_push(7, moved.encode())).outcome == "refused"
        path.write_text(edition(path, 30) + listed)
        assert (await reload.from_push(8, moved.encode())).outcome == "refused", "not yet applied"
        await reload.from_file()
        assert (await reload.from_push(9, moved.encode())).outcome == "applied"
        assert hub.starts[-1] == 60
    assert choose(path).config.kafka.brokers == ["other.example:9092"]


def test_a_last_good_push_that_changes_what_is_pinned_gives_way_to_the_file(path, tmp_path):
    """P1: one that an earlier version took."""
    moved = edition(path, 60).replace("127.0.0.1:9092", "evil.example:9092")
    LastGood(tmp_path).write(Applied(moved, digest(moved), "push", digest(path.read_bytes()), 3))
    choice = choose(path)
    assert choice.applied.source == "file"
    assert "last-good push dropped: last-good push:2: kafka.brokers: a push may not" in str(choice.notes[0])


async def test_r2_a_document_that_changes_no_unit_touches_none(path):
    hub = Hub()
    async with running(path, hub) as reload:
        report = await reload.from_push(1, (edition(path, 30) + "# a comment\n").encode())
        assert (report.outcome, report.changed_units) == ("applied", [])
        assert hub.starts == [30]


async def test_r3_an_applied_push_is_last_good_and_wins_the_next_start(path):
    async with running(path, Hub()) as reload:
        await reload.from_push(9, edition(path, 60).encode())
    choice = choose(path)
    assert (choice.applied.source, choice.applied.offset) == ("push", 9)
    assert choice.config.mqtt[0].keepalive_s == 60


async def test_r3_a_config_yaml_changed_since_wins_over_the_push(path):
    async with running(path, Hub()) as reload:
        await reload.from_push(9, edition(path, 60).encode())
    path.write_text(edition(path, 90))
    assert choose(path).config.mqtt[0].keepalive_s == 90


async def test_r3_sighup_without_a_change_of_the_file_keeps_the_push(path):
    async with running(path, Hub()) as reload:
        await reload.from_push(9, edition(path, 60).encode())
        assert (await reload.from_file()).outcome == "unchanged"
        assert reload.current.source == "push"


async def test_r4_every_outcome_is_reported(path):
    hub = Hub()
    async with running(path, hub) as reload:
        await reload.from_push(1, edition(path, 60).encode())
        await reload.from_push(2, edition(path, 60).encode())
        await reload.from_push(3, b"")
        path.write_text("nonsense: true\n")
        await reload.from_file()
    assert [(report.source, report.outcome) for report in hub.reports] == [
        ("file", "applied"),
        ("push", "applied"),
        ("push", "unchanged"),
        ("push", "refused"),
        ("file", "refused"),
    ]
    assert hub.reports[1].revision == digest(edition(path, 60))


async def test_r1_what_only_fails_by_itself_does_not_keep_the_rest_from_starting_but_is_refused_later(path):
    """A camera that can never open must not cost the oxygen alarm at an upgrade."""
    hub = Hub()
    good = path.read_text()
    path.write_text(good + "cameras: [{name: pen, source: 'http://10.0.0.7/', tank: t}]\n")
    async with running(path, hub) as reload:
        assert hub.starts == [30]
        assert "config.yaml:5: cameras[0].source: cameras are not read from http://" in hub.reports[0].problems[0]
        assert hub.reports[0].outcome == "applied"
        path.write_text(path.read_text().replace("http:", "https:"))
        assert (await reload.from_file()).outcome == "refused"
        report = await reload.from_push(7, path.read_bytes())
        assert report.outcome == "refused"


def test_a_broken_file_and_no_last_good_document_is_an_error(path):
    path.write_text(edition(path, "often"))
    with pytest.raises(ConfigErrors):
        choose(path)


async def test_r1_while_config_yaml_is_broken_the_document_that_runs_pins_what_a_push_may_not_change(path, tmp_path):
    """P1."""
    good = edition(path, 45)
    LastGood(tmp_path).write(Applied(good, digest(good), "file", digest(good)))
    path.write_text(edition(path, "often"))
    async with running(path, Hub()) as reload:
        moved = edition(path, 60).replace("127.0.0.1:9092", "evil.example:9092").encode()
        assert (await reload.from_push(7, moved)).outcome == "refused"
        assert (await reload.from_push(8, edition(path, 60).encode())).outcome == "applied"


def test_a_broken_file_does_not_stop_a_gateway_that_has_run_before(path, tmp_path):
    good = edition(path, 45)
    LastGood(tmp_path).write(Applied(good, digest(good), "file", digest(good)))
    path.write_text(edition(path, "often"))
    choice = choose(path)
    assert choice.config.mqtt[0].keepalive_s == 45
    assert any("config.yaml:4" in str(note) for note in choice.notes)


def test_a_last_good_push_that_is_no_longer_valid_gives_way_to_the_file(path, tmp_path):
    LastGood(tmp_path).write(Applied("old_key: 1\n", digest("old_key: 1\n"), "push", digest(path.read_bytes()), 3))
    choice = choose(path)
    assert choice.applied.source == "file"
    assert "last-good push dropped" in str(choice.notes[0])
