"""Training runs from labelled frames to a file that answers as the network does."""
# ruff: noqa: PLC0415 - torch is imported inside the tests, so that the file is collected where it is missing

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from models.training import frames
from models.training.scenes import Scenes

DATA = Path(__file__).parents[1] / "data" / "fish"

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def labelled():
    return frames.read(DATA)


@pytest.fixture(scope="module")
def course():
    import torch

    from models.training.learn import Course

    # Two threads that wait for each other are slower than one where other tests run.
    torch.set_num_threads(1)
    return Course(steps=30, batch=4, input_height=96, input_width=160, crops=0.5, seed=5)


@pytest.fixture(scope="module")
def network(labelled, course):
    from models.training.learn import train

    return train(Scenes(labelled, course.seed, course.input_height, course.input_width), course)


def answer(path, image):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["detections"], {"image": image})[0]


def test_the_exported_file_answers_as_the_network_does(network, course, tmp_path):
    import torch

    from models.training.export import export
    from models.training.network import Contract

    height, width = course.input_height, course.input_width
    export(network, tmp_path / "model.onnx", height, width)
    image = np.random.default_rng(2).integers(0, 256, (1, height, width, 3), np.uint8)
    with torch.no_grad():
        expected = Contract(network, height, width).eval()(torch.from_numpy(image)).numpy()
    found = answer(tmp_path / "model.onnx", image)
    assert found.shape == (1, height // 8 * width // 8, 5)
    assert found.dtype == np.float32
    assert expected[..., 4].std() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_the_quantized_file_is_smaller_and_means_the_same(network, course, labelled, tmp_path):
    from models.training.export import export, quantize

    height, width = course.input_height, course.input_width
    full, small = tmp_path / "full.onnx", tmp_path / "small.onnx"
    export(network, full, height, width)
    quantize(full, small, labelled, height, width)
    assert small.stat().st_size < full.stat().st_size / 2
    image = np.ascontiguousarray(labelled[0].image[None, :height, :width])
    wide, narrow = answer(full, image), answer(small, image)
    assert narrow.shape == wide.shape
    assert np.corrcoef(wide[0, :, 2], narrow[0, :, 2])[0, 1] > 0.9


def test_training_brings_boxes_closer_and_tells_fish_from_water(network, labelled, course):
    import torch

    from models.training.loss import assign, overlap
    from models.training.network import FishNet, boxes, cells

    height, width = course.input_height, course.input_width
    scenes = Scenes(labelled, 9, height, width)
    drawn = [scenes.draw(height, width) for _ in range(16)]
    images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2).float()
    torch.manual_seed(course.seed)
    figures = []
    for candidate in (FishNet().eval(), network):
        with torch.no_grad():
            answers = candidate(images).flatten(2).transpose(1, 2)
        overlaps, fish, water = [], [], []
        for answer, (_, truth) in zip(answers, drawn, strict=True):
            owner, _ = assign(torch.from_numpy(truth), cells(height, width))
            own = owner >= 0
            wanted = torch.from_numpy(truth)[owner[own]]
            overlaps.append(overlap(boxes(answer, cells(height, width))[own], wanted)[0])
            fish.append(answer[own, 4])
            water.append(answer[~own, 4])
        figures.append((float(torch.cat(overlaps).mean()), float(torch.cat(fish).mean() - torch.cat(water).mean())))
    (overlap_before, apart_before), (overlap_after, apart_after) = figures
    assert overlap_after > overlap_before
    assert apart_after > apart_before


def test_the_same_seed_gives_the_same_weights(labelled, course):
    from dataclasses import replace

    import torch

    from models.training.learn import train

    short = replace(course, steps=2)
    one, two = (train(Scenes(labelled, 3, 96, 160), short).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_each_fish_has_a_cell_and_the_smaller_one_has_it_where_two_meet():
    import torch

    from models.training.loss import assign
    from models.training.network import cells

    truth = torch.tensor([[10.0, 10, 150, 90], [70.0, 45, 78, 52], [81.0, 1, 84, 3]])
    owner, weight = assign(truth, cells(96, 160))
    assert set(owner.tolist()) == {-1, 0, 1, 2}
    assert owner[6 * 20 + 9] == 1  # the cell around (76, 52) lies in both
    assert weight[owner == 1].sum() < weight[owner == 0].sum()


def test_the_command_writes_a_models_folder_with_its_figures(tmp_path):
    folder = tmp_path / "frames"
    for kind, ending in (("images", "jpg"), ("labels", "txt")):
        (folder / kind).mkdir(parents=True)
        for path in (DATA / kind).glob(f"*.{ending}"):
            (folder / kind / path.name).write_bytes(path.read_bytes())
            # The same frames under other clips' names: one to learn from, one to set the threshold on.
            for clip in ("taught", frames.VALIDATION_CLIPS[0]):
                (folder / kind / f"{clip}_f{path.stem[-6:]}.{ending}").write_bytes(path.read_bytes())
    out = tmp_path / "out"
    command = [sys.executable, "-m", "models.training", "--frames", str(folder), "--out", str(out), "--steps", "1"]
    subprocess.run(command, check=True, timeout=110, cwd=Path(__file__).parents[2], capture_output=True)
    told = json.loads((out / "model.json").read_text())
    assert (told["name"], told["task"], told["classes"], told["file"]) == (
        "fish",
        "detection",
        ["fish"],
        "model.onnx",
    )
    figures = json.loads((out / "figures.json").read_text())
    assert set(figures) == {*frames.VALIDATION_CLIPS, *frames.TEST_CLIPS, "all test clips"}
