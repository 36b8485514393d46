"""The committed model is what its folder says and finds fish in clips that it never saw."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.onnx import OnnxBackend
from models.training.frames import Labelled, read
from models.training.score import matches

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "models" / "zoo" / "fish" / "1"
DATA = ROOT / "tests" / "data"


@pytest.fixture(scope="module")
def fish():
    # Loading proves the digest.
    backend = OnnxBackend(FOLDER, threads=1)
    yield backend
    backend.close()


def clip():
    """Give every fifth frame of the clip with its boxes."""
    boxes = {}
    with (DATA / "video" / "9870_Gerres_labels.csv").open() as file:
        for row in csv.DictReader(file):
            boxes.setdefault(int(row["frame_index"]), []).append(
                [float(row[side]) for side in ("x1", "y1", "x2", "y2")]
            )
    video = cv2.VideoCapture(str(DATA / "video" / "9870_Gerres.mp4"))
    number = 0
    while True:
        there, image = video.read()
        if not there:
            break
        if number % 5 == 0:
            yield Labelled(
                "9870_Gerres", str(number), image, np.array(boxes.get(number, []), np.float32).reshape(-1, 4)
            )
        number += 1
    video.release()
    assert number == 190


def recall(backend, frames):
    found = [backend.predict([frame.image])[0].detections for frame in frames]
    _, met = matches(found, frames)
    return met.sum() / sum(len(frame.boxes) for frame in frames), (~met).sum() / len(frames)


def test_the_folder_says_what_the_model_is(fish):
    spec = fish.spec
    assert (spec.name, spec.version, spec.task, spec.classes) == ("fish", "1", "detection", ("fish",))
    assert spec.input_width / spec.input_height == pytest.approx(16 / 9)
    assert (FOLDER / "model.onnx").stat().st_size < 4_000_000


def test_its_card_names_source_licence_and_held_out_clips():
    card = (FOLDER / "README.md").read_text()
    for words in (
        "CC BY 4.0",
        "Harini1824/Underwater-Fish-Detection-YOLOv8",
        "9870_Gerres",
        "mAP@0.5",
        "not good for",
    ):
        assert words in card


def test_it_finds_fish_in_frames_it_never_saw(fish):
    """One in seven at least. The card says what it reaches and that dark fish are beyond it: two of the frames."""
    found, false_alarms = recall(fish, read(DATA / "fish"))
    assert found > 0.14
    assert false_alarms <= 1.0


def test_it_finds_fish_all_along_the_demos_clip(fish):
    """A fifth at least; the card says a third. Processors differ in their eight-bit sums."""
    found, false_alarms = recall(fish, list(clip()))
    assert found >= 0.2
    assert false_alarms <= 2.0


def test_it_sees_no_fish_in_an_empty_image(fish):
    for shade in (0, 114, 255):
        (answer,) = fish.predict([np.full((540, 960, 3), shade, np.uint8)])
        assert answer.detections == ()
        assert answer.digest == json.loads((FOLDER / "model.json").read_text())["digest"]
