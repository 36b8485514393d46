"""The figures of the model card mean what they say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.training.frames import Labelled, clip_of, read
from models.training.score import average_precision, matches
from models.values import Detection


def frame(*boxes):
    image = np.zeros((100, 200, 3), np.uint8)
    return Labelled("clip", "clip_f0", image, np.array(boxes, np.float32).reshape(-1, 4))


def fish(score, left, top, right, bottom):
    return Detection("fish", score, left / 200, top / 100, (right - left) / 200, (bottom - top) / 100)


def test_a_fish_found_twice_counts_once():
    found = [(fish(0.9, 10, 10, 50, 50), fish(0.8, 11, 10, 50, 50))]
    scores, met = matches(found, [frame([10, 10, 50, 50])])
    assert scores.tolist() == [0.9, 0.8]
    assert met.tolist() == [True, False]


def test_a_box_that_shares_less_than_half_is_no_match():
    _, met = matches([(fish(0.9, 10, 10, 50, 50),)], [frame([30, 10, 70, 50])])
    assert met.tolist() == [False]


def test_detections_are_ranked_over_all_frames():
    found = [(fish(0.5, 10, 10, 50, 50),), (fish(0.9, 0, 0, 9, 9),)]
    scores, met = matches(found, [frame([10, 10, 50, 50]), frame()])
    assert scores.tolist() == [0.9, 0.5]
    assert met.tolist() == [False, True]


@pytest.mark.parametrize(
    ("met", "boxes", "expected"),
    [
        ([True, True], 2, 1.0),
        ([True, True], 4, 0.5),
        ([False, True], 1, 0.5),
        ([True, False, True], 2, (1 + 2 / 3) / 2),
        ([], 3, 0.0),
    ],
)
def test_average_precision_is_the_area_under_the_curve(met, boxes, expected):
    assert average_precision(np.array(met, bool), boxes) == pytest.approx(expected)


def test_labels_are_read_as_corners_in_pixels(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a_b_f000007.jpg"), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "labels" / "a_b_f000007.txt").write_text("4 0.5 0.5 0.5 0.2\n\n")
    (only,) = read(tmp_path)
    assert only.clip == clip_of("a_b_f000007") == "a_b"
    np.testing.assert_allclose(only.boxes, [[50, 40, 150, 60]])


def test_a_label_that_is_no_number_is_named(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a_f1.jpg"), np.zeros((10, 10, 3), np.uint8))
    (tmp_path / "labels" / "a_f1.txt").write_text("0 0.5 x 0.5 0.2\n")
    with pytest.raises(ValueError, match=r"a_f1\.txt"):
        read(tmp_path)


def test_a_folder_without_frames_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        read(tmp_path)
