"""Texts that are no document at all: one line each, whatever they are."""

from __future__ import annotations

import pytest

from agent.config import ConfigErrors, parse


def problems_of(text):
    with pytest.raises(ConfigErrors) as caught:
        parse(text, "c.yaml", {})
    return [str(problem) for problem in caught.value.problems]


UNREADABLE = {
    "nothing": (b"", "c.yaml:1: the file is empty (hint: start from the config.yaml that is shipped)"),
    "comments only": (b"# later\n", "c.yaml:1: the file is empty (hint: start from the config.yaml that is shipped)"),
    "a list": (
        b"- a\n",
        "c.yaml:1: must be a mapping: lines of `key: value` (hint: start from the config.yaml that is shipped)",
    ),
    "a tab": (b"a:\n\tb: 1\n", "c.yaml:2: a tab is used where YAML wants spaces (hint: indent with spaces)"),
    "a variable in a flow mapping": (
        b"kafka: {brokers: ${X}}\n",
        'c.yaml:1: ${\u2026} is not in quotes, within { } or [ ] (hint: write "${NAME}", with the quotes)',
    ),
    "a variable in a flow list over lines": (
        b"kafka:\n  brokers: [a:1,\n    ${X:-b:1}]\n",
        'c.yaml:3: ${\u2026} is not in quotes, within { } or [ ] (hint: write "${NAME}", with the quotes)',
    ),
    "a non-breaking space behind a key": (
        b"a: 1\nb:\xc2\xa0c\n",
        (
            "c.yaml:2: has a non-breaking space (U+00A0), which YAML does not take for a space "
            "(hint: write a plain space in its place)"
        ),
    ),
    "Latin-1": (b"a: 1\nb: T\xfcmpel\n", "c.yaml:2: is not UTF-8: byte 0xfc (hint: save the file as UTF-8)"),
    "a second document": (
        b"a: 1\n---\nb: 2\n",
        "c.yaml:2: a second document begins here (hint: remove the line `---`)",
    ),
    "an alias of nothing": (
        b"a: 1\nb: *hello\n",
        "c.yaml:2: there is no &hello that *hello could stand for (hint: put a value that begins with * in quotes)",
    ),
    "an alias within itself": (b"a: &x [*x]\n", "c.yaml:1: *x is a part of what it stands for (hint: write it out)"),
    "a tag": (
        b"a: 1\nb: !!python/object/apply:os.system [id]\n",
        "c.yaml:2: the tag tag:yaml.org,2002:python/object/apply:os.system is not read here (hint: remove it)",
    ),
    "a merge key": (b"a: &x {b: 1}\nc:\n  <<: *x\n", "c.yaml:3: merge keys are not read (hint: write the keys out)"),
    "a NUL": (
        b'a: 1\nb: "x\\0y"\n',
        "c.yaml:2: has the character \\0, which no name or path can hold (hint: remove it)",
    ),
    "a key that is a list": (
        b"[a, b]: 1\n",
        "c.yaml:1: a key must be plain text (hint: put text that holds { or [ in quotes)",
    ),
    "too deep": (
        b"a: " + b"[" * 40,
        "c.yaml:1: is nested more than 32 levels deep (hint: no configuration needs that)",
    ),
    "absurdly deep": (
        b"[" * 500_000,
        "c.yaml:1: is nested more than 32 levels deep (hint: no configuration needs that)",
    ),
    "too large": (b"#" * (2 * 1024**2), "c.yaml: is larger than 1024 KiB (hint: is it the right file?)"),
}


@pytest.mark.parametrize(("text", "line"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_text_that_cannot_be_read_gives_one_line(text, line):
    """Y2, Y3."""
    assert problems_of(text) == [line]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gateway:\n\u00a0 id: a\n", "c.yaml:2: has a non-breaking space (U+00A0)"),
        ("gateway:\n  id: a\n\u00a0\u00a0site: b\n", "c.yaml:3: has a non-breaking space (U+00A0)"),
        ("gateway:\n  id: a\u202fb\n", "c.yaml:2: gateway.id: has a non-breaking space (U+202F)"),
        (
            "mqtt:\n  - name: a\n    username: gw\u200b\n",
            "c.yaml:3: mqtt[0].username: has a space without width (U+200B)",
        ),
        (
            "gateway:\n  id: \u201cgw\u201d\n",
            "c.yaml:2: gateway.id: begins with \u201c, which is not a quote in YAML",
        ),
    ],
)
def test_what_nobody_sees_is_named(text, said):
    assert any(line.startswith(said) for line in problems_of(text))


def test_what_nobody_sees_may_be_meant_in_quotes():
    lines = problems_of('mqtt:\n  - name: a\n    username: "g\u00a0w"\n')
    assert not [line for line in lines if "non-breaking" in line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1\nb: 2\n", 2),
        ("a: 1\n b: 2\n", 2),
        ("a: x: y\n", 1),
        ("a: 'x\n", 2),
        ("a: b\nc\nd: e\n", 2),
        ("a: \x01\n", 1),
        ("a: @b\n", 1),
    ],
)
def test_broken_yaml_is_named_by_its_line_in_one_line(text, line):
    (only,) = problems_of(text)
    assert only.startswith(f"c.yaml:{line}: ")
    assert "\n" not in only


def test_aliases_that_multiply_are_stopped_before_they_grow():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert problems_of("\n".join(levels)) == [
        "c.yaml:5: holds more than 100000 values, aliases followed (hint: no configuration needs that)"
    ]


def test_a_document_that_is_wrong_throughout_gives_a_report_of_bounded_length():
    lines = problems_of("sensors: [" + "x, " * 5_000 + "x]")
    assert len(lines) == 200
    assert lines[-1] == "c.yaml: 4805 more problems (hint: correct these first)"
