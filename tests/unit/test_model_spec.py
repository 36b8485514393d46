"""A model's folder is taken as a whole or refused with the reason."""

from __future__ import annotations

import json

import pytest

from models.spec import MOST_SPEC_BYTES, read
from models.values import Misconfigured
from tests.support.models import halves


@pytest.fixture
def folder(tmp_path):
    return halves(tmp_path / "halves")


def change(folder, **fields) -> None:
    told = json.loads((folder / "model.json").read_text())
    told.update(fields)
    (folder / "model.json").write_text(json.dumps({key: value for key, value in told.items() if value is not ...}))


def test_a_whole_folder_is_read(folder):
    spec, content = read(folder)
    assert (spec.name, spec.classes, spec.input_height, spec.score_threshold) == ("halves", ("bright",), 48, 0.3)
    assert content == (folder / "model.onnx").read_bytes()


def test_a_threshold_from_config_stands_in_for_the_models_own(folder):
    assert read(folder, 0.75)[0].score_threshold == 0.75


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"name": "../up"}, "name", "must be a name of"),
        ({"name": 3}, "name", "not 3"),
        ({"version": ""}, "version", "must be a name of"),
        ({"task": "classification"}, "task", "classification is not supported"),
        ({"digest": "ABC"}, "digest", "sha256"),
        ({"digest": "0" * 64}, "digest", "corrupt or another version"),
        ({"classes": []}, "classes", "list of 1 to 1000 different names"),
        ({"classes": ["a", "a"]}, "classes", "different names"),
        ({"classes": "fish"}, "classes", "list of 1 to"),
        ({"classes": [None]}, "classes", "plain names"),
        ({"input_height": 0}, "input_height", "whole number of pixels"),
        ({"input_width": True}, "input_width", "whole number of pixels"),
        ({"input_width": 1e9}, "input_width", "whole number of pixels"),
        ({"score_threshold": 1.5}, "score_threshold", "number from 0 to 1"),
        ({"iou_threshold": "0.5"}, "iou_threshold", "number from 0 to 1"),
        ({"file": "../model.onnx"}, "file", "not a plain file name"),
        ({"file": 7}, "file", "not a plain file name"),
        ({"file": "other.onnx"}, "path", "other.onnx cannot be read: No such file"),
        ({"iou_threshold": ...}, "path", "missing iou_threshold"),
        ({"surprise": 1}, "path", "unknown surprise"),
    ],
)
def test_a_field_that_is_wrong_is_named(folder, fields, field, reason):
    change(folder, **fields)
    with pytest.raises(Misconfigured, match=reason) as refused:
        read(folder)
    assert refused.value.field == field
    assert refused.value.hint


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 20_000, '{"a": 1e999', "\ud800".encode(errors="surrogatepass")]
)
def test_what_is_no_spec_at_all_is_refused(folder, text):
    (folder / "model.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Misconfigured, match=r"is not a JSON object|is not JSON"):
        read(folder)


def test_a_spec_without_end_is_not_read_to_its_end(folder):
    (folder / "model.json").write_text(" " * (MOST_SPEC_BYTES + 1))
    with pytest.raises(Misconfigured, match="larger than 65,536 bytes"):
        read(folder)
    with pytest.raises(Misconfigured, match=r"model\.json cannot be read"):
        read(folder / "nowhere")


def test_a_file_that_changed_by_one_bit_is_refused(folder):
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(Misconfigured, match="corrupt or another version"):
        read(folder)
