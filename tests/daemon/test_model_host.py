"""The model host: shared memory in, deaths and hangs survived, memory given back."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from models.host import ModelHost
from models.values import Misconfigured, NotReady
from tests.support.children import spawn
from tests.support.model_host import PATIENCE_S, Memory, alive, asked, brightest, until
from tests.support.models import HEIGHT, WIDTH, classifier, halves, heat_map, misshapen, sides

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def host() -> Iterator[ModelHost]:
    host = ModelHost()
    yield host
    host.close()


def maps(pid: int, name: str) -> int:
    """How many memories of this name a process has mapped."""
    return Path(f"/proc/{pid}/maps").read_text().count(f"/memfd:{name} ")


def test_an_image_is_read_where_it_lies_each_time_anew(host, tmp_path):
    model = host.load("bright", halves(tmp_path))
    memory = Memory("one", 204, 20)
    assert brightest(model, memory) == pytest.approx(0.0, abs=1e-3)
    memory.show(20, 204)
    assert brightest(model, memory) == pytest.approx(0.5, abs=1e-3)
    assert maps(host.pid, "one") == 1
    os.close(memory.fd)


def test_a_memory_under_a_number_used_again_is_read_and_the_one_before_forgotten(host, tmp_path):
    model = host.load("bright", halves(tmp_path))
    first = Memory("first", 204, 20)
    brightest(model, first)
    os.close(first.fd)
    second = Memory("second", 20, 204)
    assert second.fd == first.fd
    assert brightest(model, second) == pytest.approx(0.5, abs=1e-3)
    assert maps(host.pid, "first") == 0
    os.close(second.fd)


def test_the_memory_of_a_camera_that_is_gone_is_not_kept_for_long(host, tmp_path):
    model = host.load("bright", halves(tmp_path))
    gone, other = Memory("gone", 204, 20), Memory("other", 204, 20)
    brightest(model, gone)
    brightest(model, other)
    os.close(gone.fd)
    for _ in range(300):
        brightest(model, other)
    assert maps(host.pid, "gone") == 0
    assert maps(host.pid, "other") == 1
    os.close(other.fd)


def test_an_image_that_does_not_lie_in_the_memory_is_refused(host, tmp_path):
    model = host.load("bright", halves(tmp_path))
    memory = Memory("small", 204, 20)
    for offset, height, width in (
        (4096, HEIGHT + 1, WIDTH),
        (4097, HEIGHT, WIDTH),
        (-1, 1, 1),
        (0, 0, 5),
        (0, -1, 1),
    ):
        with pytest.raises(ValueError, match="no image of"):
            model.predict_shared(memory.fd, offset, height, width)
    os.close(memory.fd)
    with pytest.raises(ValueError, match="not an open file descriptor"):
        model.predict_shared(memory.fd, 0, 1, 1)
    assert host.restarts == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_costs_one_answer_and_the_next_one_finds_the_model_loaded_again(host, tmp_path, how):
    models = [host.load("bright", halves(tmp_path / name)) for name in "ab"]
    before = host.pid
    os.kill(before, how)
    until(lambda: not alive(before))
    with pytest.raises(NotReady, match=how.name):
        models[0].predict([sides(204, 20)])
    for model in models:
        assert model.predict([sides(204, 20)])[0].detections
    assert host.pid != before
    assert host.restarts == 1


def test_a_hang_is_ended_and_the_next_one_answered(tmp_path):
    host = ModelHost(answer_timeout_s=0.5)
    try:
        model = host.load("bright", halves(tmp_path))
        before = host.pid
        os.kill(before, signal.SIGSTOP)
        with pytest.raises(NotReady, match="did not answer within"):
            model.predict([sides(204, 20)])
        assert not alive(before)
        until(lambda: answers(model))
    finally:
        host.close()


def answers(model) -> bool:
    """Whether a model answers now; a noisy machine may need longer than the time allowed."""
    try:
        return bool(model.predict([sides(204, 20)])[0].detections)
    except NotReady:
        return False


def test_closing_wakes_who_waits_for_an_answer(tmp_path):
    host = ModelHost(answer_timeout_s=3600)
    model = host.load("bright", halves(tmp_path))
    pid = host.pid
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(model.predict, [sides(204, 20)])
        until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "T")
        assert not waiting.done()
        host.close()
        with pytest.raises(NotReady, match="closed"):
            waiting.result(PATIENCE_S)
    assert not alive(pid)
    for refused in (host.start, lambda: host.load("bright", tmp_path), lambda: model.predict([sides(204, 20)])):
        with pytest.raises(NotReady, match="closed"):
            refused()
    host.close()


def test_many_threads_are_answered_each_its_own(host, tmp_path):
    models = [host.load("bright", halves(tmp_path / name)) for name in "ab"]

    def ask(number: int) -> float:
        left = number % 3 == 0
        return models[number % 2].predict([sides(204, 20) if left else sides(20, 204)])[0].detections[0].left

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(200)))
    assert answers == pytest.approx([0.0 if number % 3 == 0 else 0.5 for number in range(200)], abs=1e-3)


def test_two_versions_run_side_by_side_and_closing_one_leaves_the_other(host, tmp_path):
    old = host.load("bright", halves(tmp_path / "1"), score_threshold=0.9)
    new = host.load("bright", halves(tmp_path / "2", version="2"), score_threshold=0.2)
    assert (old.spec.version, old.spec.score_threshold) == ("1", 0.9)
    assert (new.spec.version, new.spec.score_threshold) == ("2", 0.2)
    old.close()
    with pytest.raises(NotReady, match="closed"):
        old.predict([sides(204, 20)])
    assert new.predict([sides(204, 60)])[0].version == "2"
    assert len(new.predict([sides(204, 60)])[0].detections) == 2


def anonymous_kib(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.split("\nPss_Anon:")[1].split()[0])


def test_the_memory_of_a_model_comes_back_when_it_is_closed(host):
    fish = Path(__file__).parents[2] / "models" / "zoo" / "fish" / "1"
    # The first life of a model also brings what onnxruntime keeps for the next one.
    host.load("fish", fish).close()
    empty = anonymous_kib(host.pid)
    model = host.load("fish", fish)
    model.predict([sides(204, 20, 540, 960)])
    loaded = anonymous_kib(host.pid)
    model.close()
    assert loaded > empty + 2048
    assert anonymous_kib(host.pid) - empty < (loaded - empty) / 2


def test_a_folder_that_changed_under_a_loaded_model_is_not_taken_for_it(host, tmp_path):
    model = host.load("bright", halves(tmp_path))
    halves(tmp_path, version="2")
    (tmp_path / "model.onnx").write_bytes(b"")
    pid = host.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))
    with pytest.raises(NotReady):
        model.predict([sides(204, 20)])
    with pytest.raises(Misconfigured, match="corrupt or another version"):
        model.predict([sides(204, 20)])


def test_a_model_that_keeps_killing_the_process_is_told_from_bad_luck(tmp_path):
    host = ModelHost(answer_timeout_s=3600)
    model = host.load("bright", halves(tmp_path))
    try:
        for attempt in range(1, 4):
            pid = host.pid
            with ThreadPoolExecutor(1) as pool:
                os.kill(pid, signal.SIGSTOP)
                waiting = pool.submit(model.predict, [sides(204, 20)])
                # It dies with the question in its hands.
                until(lambda pid=pid: asked(pid))
                os.kill(pid, signal.SIGKILL)  # the one end that comes before it goes on and answers
                error = waiting.exception(PATIENCE_S)
            assert isinstance(error, Misconfigured if attempt == 3 else NotReady), attempt
            assert "SIGKILL" in error.reason
            host.start()
    finally:
        host.close()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (heat_map, r"it has x: tensor\(float\) \(N, 3, H, W\) where a detector has image: tensor\(uint8\)"),
        (classifier, r"it has probabilities: tensor\(float\) \(1, 3\) where a detector has detections"),
        (misshapen, r"it answers \(1, 4, 9216\), not \(1, n, 5\) for 1 classes"),
        (lambda folder: halves(folder, classes=["a", "b"]), r"\(1, 2, 5\) where a detector has .*\(1, n, 6\)"),
        (
            lambda folder: halves(folder, input_width=128),
            r"\(1, 48, 64, 3\) where a detector has .*\(1, 48, 128, 3\)",
        ),
    ],
    ids=["heat map", "classifier", "misshapen", "classes", "size"],
)
def test_a_model_of_another_kind_is_refused_by_what_it_is(host, tmp_path, make, reason):
    with pytest.raises(Misconfigured, match=reason) as refused:
        host.load("other", make(tmp_path))
    assert "this agent cannot use the file as a detector" in refused.value.reason
    assert refused.value.hint
    assert host.restarts == 0


def test_a_file_that_is_no_model_is_refused(host, tmp_path):
    folder = halves(tmp_path)
    noise = os.urandom(5000)
    (folder / "model.onnx").write_bytes(noise)
    with pytest.raises(Misconfigured, match="corrupt or another version"):
        host.load("noise", folder)
    text = (folder / "model.json").read_text()
    old = text.split('"digest": "')[1][:64]
    (folder / "model.json").write_text(text.replace(old, hashlib.sha256(noise).hexdigest()))
    with pytest.raises(Misconfigured, match="onnxruntime cannot load the model"):
        host.load("noise", folder)
    with pytest.raises(Misconfigured, match=r"model\.json cannot be read: No such file"):
        host.load("none", tmp_path / "none")
    assert host.restarts == 0


@pytest.mark.parametrize(
    ("newer", "cause"),
    [
        ({"ir_version": 99}, r"Unsupported model IR version: 99, max supported IR version: \d+$"),
        ({"opset": 99}, r"Opset 99 is under development and support .*Current official support .* \d+"),
    ],
    ids=["ir", "opset"],
)
def test_a_file_that_is_newer_than_the_runtime_is_refused_with_the_runtimes_whole_cause(host, tmp_path, newer, cause):
    with pytest.raises(Misconfigured, match=cause) as refused:
        host.load("newer", halves(tmp_path, **newer))
    assert refused.value.hint.startswith("onnxruntime ")


PARENT = """
import sys, time
from pathlib import Path
from models.host import ModelHost

host = ModelHost()
host.load("bright", Path(sys.argv[1]))
print(host.pid, flush=True)
time.sleep(3600)
"""


def test_the_process_never_outlives_a_daemon_that_was_killed(tmp_path):
    parent = spawn([sys.executable, "-c", PARENT, str(halves(tmp_path))], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait(PATIENCE_S)
    parent.stdout.close()
    until(lambda: not alive(pid))


def test_it_survives_the_thread_that_started_it(host, tmp_path):
    thread = threading.Thread(target=host.start)
    thread.start()
    thread.join()
    pid = host.pid
    assert host.load("bright", halves(tmp_path)).predict([sides(204, 20)])[0].detections
    assert host.pid == pid


def test_closing_leaves_no_file_descriptor_behind(tmp_path):
    before = set(Path("/proc/self/fd").iterdir())
    host = ModelHost()
    model = host.load("bright", halves(tmp_path))
    model.predict([sides(204, 20)])
    host.close()
    assert {fd for fd in Path("/proc/self/fd").iterdir() if fd not in before and fd.exists()} == set()
