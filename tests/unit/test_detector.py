"""A camera image goes into the model's input and the model's rows come back as boxes of that image."""

from __future__ import annotations

import numpy as np
import pytest

from models.detector import PAD, Letterbox, decode, suppress
from models.values import ModelSpec

SPEC = ModelSpec("fish", "1", "detection", "0" * 64, ("fish",), 288, 512, 0.5, 0.5)
TWO = ModelSpec("two", "1", "detection", "0" * 64, ("fish", "crab"), 288, 512, 0.5, 0.5)


def image(height, width):
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def rows(*entries):
    return np.array([entries], np.float32).reshape(1, len(entries), -1)


def placement_of(height, width):
    return Letterbox(288, 512).fit(image(height, width))[1]


def test_an_image_of_the_inputs_size_goes_in_unchanged():
    picture = image(288, 512)
    fitted, placement = Letterbox(288, 512).fit(picture)
    assert np.array_equal(fitted[0], picture)
    assert (placement.left, placement.top, placement.placed_width, placement.placed_height) == (0, 0, 512, 288)


@pytest.mark.parametrize(
    ("height", "width"), [(540, 960), (1080, 1920), (480, 640), (1, 1), (1, 4000), (3000, 2), (7, 333), (289, 511)]
)
def test_any_size_fits_and_a_box_comes_back_where_it_was(height, width):
    fitted, placement = Letterbox(288, 512).fit(image(height, width))
    assert fitted.shape == (1, 288, 512, 3)
    assert fitted.dtype == np.uint8
    # A box from a quarter to three quarters of the image, as the model would see it.
    centre_x, centre_y = placement.left + placement.placed_width / 2, placement.top + placement.placed_height / 2
    (box,) = decode(
        rows([centre_x, centre_y, placement.placed_width / 2, placement.placed_height / 2, 0.9]), placement, SPEC
    )
    assert (box.left, box.top, box.width, box.height) == pytest.approx((0.25, 0.25, 0.5, 0.5), abs=1e-6)
    assert box.label == "fish"
    assert box.score == pytest.approx(0.9)


def test_what_is_beside_the_image_is_grey_also_after_one_of_another_shape():
    letterbox = Letterbox(288, 512)
    letterbox.fit(image(540, 960))
    fitted, placement = letterbox.fit(image(480, 640))
    assert placement.left == 64
    assert (fitted[0, :, :64] == PAD).all()
    assert (fitted[0, :, -64:] == PAD).all()


def test_a_bright_spot_lands_where_its_placement_says():
    picture = np.zeros((600, 600, 3), np.uint8)
    picture[300:330, 150:180] = 255
    fitted, placement = Letterbox(288, 512).fit(picture)
    x = placement.left + 165 / 600 * placement.placed_width
    y = placement.top + 315 / 600 * placement.placed_height
    assert (fitted[0, round(y), round(x)] > 250).all()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_what_is_no_bgr_image_is_refused(wrong):
    with pytest.raises(ValueError, match="BGR uint8"):
        Letterbox(288, 512).fit(wrong)


def test_a_view_that_is_not_contiguous_is_fitted_like_its_copy():
    picture = image(540, 960)
    seen = Letterbox(288, 512).fit(picture[:, ::-1])[0]
    assert np.array_equal(seen, Letterbox(288, 512).fit(picture[:, ::-1].copy())[0])


def test_rows_below_the_threshold_are_no_detections():
    assert decode(rows([100, 100, 20, 20, 0.49], [300, 100, 20, 20, 0.0]), placement_of(288, 512), SPEC) == ()


def test_no_rows_are_no_detections():
    assert decode(np.zeros((1, 0, 5), np.float32), placement_of(288, 512), SPEC) == ()


def test_the_best_of_overlapping_boxes_stays_and_one_apart_too():
    found = decode(
        rows([100, 100, 40, 40, 0.7], [102, 101, 40, 40, 0.9], [300, 200, 40, 40, 0.6], [140, 100, 40, 40, 0.8]),
        placement_of(288, 512),
        SPEC,
    )
    assert [round(box.score, 1) for box in found] == [0.9, 0.8, 0.6]


def test_boxes_of_two_classes_do_not_suppress_each_other():
    found = decode(rows([100, 100, 40, 40, 0.9, 0.1], [100, 100, 40, 40, 0.2, 0.8]), placement_of(288, 512), TWO)
    assert [(box.label, round(box.score, 1)) for box in found] == [("fish", 0.9), ("crab", 0.8)]


def test_a_box_over_the_border_is_cut_and_one_outside_is_dropped():
    (box,) = decode(rows([0, 144, 100, 288, 0.9], [-80, 40, 20, 20, 0.9]), placement_of(288, 512), SPEC)
    assert (box.left, box.top, box.width, box.height) == pytest.approx((0, 0, 50 / 512, 1))


def test_a_box_that_lies_in_the_grey_beside_the_image_is_dropped():
    assert decode(rows([20, 144, 30, 30, 0.9]), placement_of(480, 640), SPEC) == ()


def test_numbers_that_are_none_are_no_detections():
    nan, infinity = float("nan"), float("inf")
    table = rows([100, 100, 40, 40, nan], [nan, 100, 40, 40, 0.9], [100, 100, infinity, 40, 0.9], [50, 50, 9, 9, 0.6])
    assert [round(box.score, 1) for box in decode(table, placement_of(288, 512), SPEC)] == [0.6]


def test_the_largest_number_is_a_box_over_the_whole_image():
    largest = float(np.finfo(np.float32).max)
    (box,) = decode(rows([100, 100, largest, largest, 0.9]), placement_of(288, 512), SPEC)
    assert (box.left, box.top, box.width, box.height) == (0, 0, 1, 1)


def test_noise_in_every_row_ends_in_boxes_that_do_not_overlap():
    random = np.random.default_rng(3)
    table = np.concatenate([random.uniform(0, 288, (2304, 4)), random.uniform(0.5, 1, (2304, 1))], axis=1)
    found = decode(table[None].astype(np.float32), placement_of(288, 512), SPEC)
    boxes = np.array([[b.left, b.top, b.left + b.width, b.top + b.height] for b in found])
    assert 0 < len(boxes) <= 256
    assert len(suppress(boxes, np.zeros(len(boxes), np.intp), 0.75)) == len(boxes)
    assert [b.score for b in found] == sorted((b.score for b in found), reverse=True)


@pytest.mark.parametrize("shape", [(1, 5), (2, 3, 5), (1, 3, 6)])
def test_an_output_of_another_shape_is_refused_with_both_shapes(shape):
    with pytest.raises(ValueError, match=r"expected detections of shape \(1, n, 5\)"):
        decode(np.zeros(shape, np.float32), placement_of(288, 512), SPEC)
