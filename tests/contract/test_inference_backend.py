"""What holds for every backend: in memory, on onnxruntime here, and in the model host's process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.host import ModelHost
from models.memory import MemoryBackend
from models.onnx import OnnxBackend
from models.values import Detection, InferenceBackend, ModelSpec, NotReady
from tests.support.models import HEIGHT, WIDTH, halves, sides

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = ModelSpec("halves", "1", "detection", "0" * 64, ("bright",), HEIGHT, WIDTH, 0.3, 0.5)


def look(image) -> list[Detection]:
    """The same as the ONNX file of `halves`, in plain words."""
    middle = image.shape[1] // 2
    left, right = image[:, :middle].mean() / 255, image[:, middle:].mean() / 255
    return [Detection("bright", left, 0.0, 0.0, 0.5, 1.0), Detection("bright", right, 0.5, 0.0, 0.5, 1.0)]


@pytest.fixture(params=["memory", "onnx", "hosted"])
def backend(request, tmp_path) -> Iterator[InferenceBackend]:
    if request.param == "memory":
        yield MemoryBackend(SPEC, look)
    elif request.param == "onnx":
        yield OnnxBackend(halves(tmp_path / "halves"))
    else:
        host = ModelHost()
        try:
            yield host.load("bright", halves(tmp_path / "halves"))
        finally:
            host.close()


def test_it_tells_what_it_is(backend):
    assert replace(backend.spec, digest="") == replace(SPEC, digest="")
    assert len(backend.spec.digest) == 64


def test_what_it_finds_is_where_it_is_and_the_best_comes_first(backend):
    (prediction,) = backend.predict([sides(left=102, right=204)])
    right, left = prediction.detections
    assert (right.label, left.label) == ("bright", "bright")
    assert right.score == pytest.approx(0.8, abs=0.01)
    assert left.score == pytest.approx(0.4, abs=0.01)
    assert (right.left, right.top, right.width, right.height) == pytest.approx((0.5, 0, 0.5, 1), abs=1e-3)
    assert (left.left, left.top, left.width, left.height) == pytest.approx((0, 0, 0.5, 1), abs=1e-3)


def test_what_is_below_the_threshold_is_not_told(backend):
    (prediction,) = backend.predict([sides(left=20, right=255)])
    assert [found.left for found in prediction.detections] == pytest.approx([0.5], abs=1e-3)
    assert backend.predict([sides(left=10, right=20)])[0].detections == ()


def test_an_image_of_any_size_is_answered_in_its_own_terms(backend):
    # The aspect is the input's, so that no grey border dims the brightness.
    for factor in (1, 3, 20):
        (prediction,) = backend.predict([sides(204, 20, HEIGHT * factor, WIDTH * factor)])
        (found,) = prediction.detections
        assert (found.left, found.top, found.width, found.height) == pytest.approx((0, 0, 0.5, 1), abs=0.02)
    # Others are fitted; what is told stays inside the image.
    for height, width in ((200, 31), (7, 300), (2, 2)):
        for found in backend.predict([sides(255, 255, height, width)])[0].detections:
            assert 0 <= found.left <= found.left + found.width <= 1.000001
            assert 0 <= found.top <= found.top + found.height <= 1.000001


def test_a_batch_is_answered_image_by_image(backend):
    images = [sides(204, 20), sides(20, 204), sides(20, 20)]
    answers = [[round(found.left, 2) for found in one.detections] for one in backend.predict(images)]
    assert answers == [[0.0], [0.5], []]
    assert backend.predict([]) == []


def test_an_answer_names_its_model_and_takes_its_time(backend):
    (prediction,) = backend.predict([sides(204, 20)])
    assert (prediction.model, prediction.version, prediction.digest) == ("halves", "1", backend.spec.digest)
    assert 0 < prediction.inference_s <= prediction.total_s


def test_an_image_that_is_none_is_refused_and_the_next_one_answered(backend):
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="expected a BGR uint8 image"):
            backend.predict([wrong])
    assert backend.predict([sides(204, 20)])[0].detections


def test_an_image_that_is_a_view_is_read_as_it_looks(backend):
    wide = sides(204, 20, HEIGHT, WIDTH * 2)
    assert [round(one.left, 2) for one in backend.predict([wide[:, ::-2]])[0].detections] == [0.5]


def test_after_closing_it_says_so(backend):
    backend.close()
    backend.close()
    with pytest.raises(NotReady, match="closed"):
        backend.predict([sides(204, 20)])
