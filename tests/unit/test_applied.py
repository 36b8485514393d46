from dataclasses import replace

import pytest

from agent.reload import Applied, LastGood

DOCUMENT = Applied("gateway:\n  id: ü\n", "ab", "push", "cd", 7)


def test_what_was_written_is_read_back(tmp_path):
    LastGood(tmp_path).write(DOCUMENT)
    assert LastGood(tmp_path).read() == DOCUMENT


def test_nothing_applied_reads_as_none(tmp_path):
    assert LastGood(tmp_path).read() is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"text": 1}', b"\xff\xfe"])
def test_a_damaged_file_reads_as_none(tmp_path, damage):
    (tmp_path / "last-good.json").write_bytes(damage)
    assert LastGood(tmp_path).read() is None


def test_a_write_that_fails_leaves_the_old_one(tmp_path):
    LastGood(tmp_path).write(DOCUMENT)
    (tmp_path / "last-good.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        LastGood(tmp_path).write(replace(DOCUMENT, offset=8))
    assert LastGood(tmp_path).read() == DOCUMENT
