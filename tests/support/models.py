"""Small models, good and bad, written as folders with `model.json` and an ONNX file."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 48, 64
_FLOAT, _BYTE = TensorProto.FLOAT, TensorProto.UINT8


def write(folder: Path, graph: onnx.GraphProto, *, opset: int = 17, ir_version: int = 8, **spec: Any) -> Path:
    """Write a model's folder; `spec` changes what `model.json` says, None leaves a field out."""
    folder.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    content = model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    told = {
        "name": "halves",
        "version": "1",
        "task": "detection",
        "digest": hashlib.sha256(content).hexdigest(),
        "classes": ["bright"],
        "input_height": HEIGHT,
        "input_width": WIDTH,
        "score_threshold": 0.3,
        "iou_threshold": 0.5,
        "file": "model.onnx",
        **spec,
    }
    (folder / "model.json").write_text(json.dumps({key: value for key, value in told.items() if value is not None}))
    return folder


def halves(folder: Path, **spec: Any) -> Path:
    """A detector that tells what it saw: a box for the left half and one for the right, scored by brightness."""
    boxes = np.array([[WIDTH / 4, HEIGHT / 2, WIDTH / 2, HEIGHT], [WIDTH * 3 / 4, HEIGHT / 2, WIDTH / 2, HEIGHT]])
    constants = {
        "boxes": boxes.astype(np.float32)[None],
        "white": np.array(255.0, np.float32),
        "halves": np.array([1, HEIGHT, 2, WIDTH // 2 * 3], np.int64),
        "rows": np.array([1, 2, 1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=_FLOAT),
        helper.make_node("Div", ["pixels", "white"], ["light"]),
        helper.make_node("Reshape", ["light", "halves"], ["sides"]),
        helper.make_node("ReduceMean", ["sides"], ["means"], axes=[1, 3], keepdims=0),
        helper.make_node("Reshape", ["means", "rows"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["detections"], axis=2),
    ]
    image, detections = _ends("image", _BYTE, (1, HEIGHT, WIDTH, 3), "detections", _FLOAT, (1, 2, 5))
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return write(folder, helper.make_graph(nodes, "halves", [image], [detections], initializers), **spec)


def heat_map(folder: Path) -> Path:
    """A detector of another school: what it finds is drawn into a map."""
    image, answer = _ends("x", _FLOAT, ("N", 3, "H", "W"), "map", _FLOAT, ("N", 1, "H", "W"))
    nodes = [helper.make_node("ReduceMean", ["x"], ["map"], axes=[1], keepdims=1)]
    return write(folder, helper.make_graph(nodes, "heat_map", [image], [answer]))


def classifier(folder: Path) -> Path:
    """A model that says what an image shows and not where."""
    image, answer = _ends("image", _BYTE, (1, HEIGHT, WIDTH, 3), "probabilities", _FLOAT, (1, 3))
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=_FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Softmax", ["means"], ["probabilities"], axis=1),
    ]
    return write(folder, helper.make_graph(nodes, "classifier", [image], [answer]))


def misshapen(folder: Path) -> Path:
    """A model that leaves its answer's shape open in the graph, and then answers another one than a detector's."""
    image, answer = _ends("image", _BYTE, (1, HEIGHT, WIDTH, 3), "detections", _FLOAT, (1, "n", "columns"))
    nodes = [
        helper.make_node("NonZero", ["image"], ["places"]),
        helper.make_node("Cast", ["places"], ["numbers"], to=_FLOAT),
        helper.make_node("Unsqueeze", ["numbers", "first"], ["detections"]),
    ]
    first = numpy_helper.from_array(np.array([0], np.int64), "first")
    return write(folder, helper.make_graph(nodes, "misshapen", [image], [answer], [first]))


def _ends(*ends: Any) -> list[onnx.ValueInfoProto]:
    """Input and output from (name, type, shape, name, type, shape)."""
    return [helper.make_tensor_value_info(*ends[at : at + 3]) for at in (0, 3)]


def sides(left: int, right: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An image with one brightness on its left half and one on its right."""
    image = np.full((height, width, 3), right, np.uint8)
    image[:, : width // 2] = left
    return image
