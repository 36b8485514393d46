"""Paths into JSON documents, and what people write who know them from elsewhere."""

import pytest

from drivers.mqtt import PayloadSettings
from drivers.mqtt.codecs import codec, look_at_spelling
from drivers.spelling import Misspelt


def read(payload: bytes, **settings):
    return codec(PayloadSettings(**settings))(payload)


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("$.do", "do"),
        ("$['a']['b']", "a.b"),
        ('$.values[0]["v.x"]', r"values.0.v\.x"),
        ("values[0].v", "values.0.v"),
        ("values.[0].v", "values.0.v"),
        ("[0].v", "0.v"),
        (".a.b", "a.b"),
        ("/a~1b/c.d", r"a/b.c\.d"),
    ],
)
def test_a_path_of_another_spelling_is_named_with_the_right_one(path, right):
    with pytest.raises(Misspelt) as named:
        look_at_spelling(path)
    assert named.value.hint == f"write {right}"
    look_at_spelling(right)
    codec(PayloadSettings("json", right))


@pytest.mark.parametrize("path", ["$", "$..do", "$[*].v", "$.a[?(@.b)]", "a[1"])
def test_what_is_not_the_path_of_one_field_is_named_with_an_example(path):
    with pytest.raises(Misspelt) as named:
        look_at_spelling(path)
    assert "such as data." in named.value.hint


@pytest.mark.parametrize("path", ["", " a", "a..b", "a."])
def test_a_path_with_an_empty_level_is_refused(path):
    with pytest.raises(Misspelt) as refused:
        codec(PayloadSettings("json", path))
    assert "such as data." in refused.value.hint


def test_a_key_may_hold_what_looks_like_another_spelling():
    assert read(b'{"DI[0]":{"$":{"/x":7}}}', format="json", value=r"DI\[0].\$.\/x") == (7.0, None, None)
    assert read(b'{"$x":7}', format="json", value="$x") == (7.0, None, None)
    # As it was read before there was a way to write it: what runs must not stop at an upgrade.
    assert read(b'{"DI[0]":7}', format="json", value="DI[0]") == (7.0, None, None)
