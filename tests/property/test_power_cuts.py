"""What was promised survives the power: a short `python -m tests.shows.powercut`, and the disk it stands on."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.shows.powercut import cuts, each_change
from tests.support.forgetful.model import SECTOR, CutOutcome, Disk, File, Forgets, Renaming, Resize, Tears, Write
from tests.support.forgetful.mount import Forgetful

if TYPE_CHECKING:
    from pathlib import Path

needs_fuse = pytest.mark.skipif(not Forgetful.possible(), reason="needs root and FUSE 3")


def test_a_write_is_sure_after_its_fsync_and_until_then_may_be_kept_lost_or_torn():
    file = File(0o640, b"a" * 4 * SECTOR)
    file.change(Write(0, b"b" * 4 * SECTOR))
    file.change(Resize(2 * SECTOR))
    assert file.after(CutOutcome()) == b"b" * 2 * SECTOR
    assert file.after(Forgets()) == b"a" * 4 * SECTOR
    left = {file.after(Tears(random.Random(seed))) for seed in range(2_000)}
    sectors = {content[at : at + SECTOR] for content in left for at in range(0, len(content), SECTOR)}
    assert sectors == {b"a" * SECTOR, b"b" * SECTOR}
    assert len(left) > 8
    file.sync()
    assert file.after(Forgets()) == b"b" * 2 * SECTOR


def test_what_a_failed_fsync_forgot_is_read_and_never_on_the_disk():
    file = File(0o640, b"old")
    file.change(Write(0, b"new"))
    file.forget()
    file.change(Write(3, b"!"))
    file.sync()
    assert (bytes(file.live), file.after(CutOutcome())) == (b"new!", b"old!")


def test_a_name_is_sure_once_its_folder_is_synced():
    disk, before, after = Disk(), File(0o640, b"before"), File(0o640, b"after")
    disk.put("x", before)
    disk.rename(Renaming({"x.new": after}))
    disk.rename(Renaming({"x.new": None, "x": after}))
    assert disk.after(Forgets()) == {"x": b"before"}
    assert disk.after(CutOutcome()) == {"x": b"after"}
    disk.sync_folder("")
    assert disk.after(Forgets()) == {"x": b"after"}


@needs_fuse
def test_the_mount_knows_what_was_synced_and_stands_still_when_told(tmp_path: Path):
    with Forgetful() as disks:
        folder = disks.disk("one")
        file = os.open(folder / "a", os.O_RDWR | os.O_CREAT, 0o640)
        os.write(file, b"kept")
        os.fsync(file)
        os.write(file, b"lost")
        home = os.open(folder, os.O_RDONLY)
        os.fsync(home)
        os.close(home)
        disks.order("image", name="one", outcome="forgets", seed=0, folder=str(tmp_path))
        assert (tmp_path / "a").read_bytes() == b"kept"
        disks.order("freeze", name="one", after=1)
        os.write(file, b"last")
        with pytest.raises(OSError, match="Input/output"):
            os.write(file, b"never")
        os.close(file)
        mounted = disks.folder
    assert not mounted.exists()


@needs_fuse
async def test_power_cuts_at_random_lose_and_double_nothing_that_was_promised():
    """L1, L2, D1, D2."""
    told = await cuts(60, seed=random.randrange(1 << 30))
    assert told.cuts == 60
    assert told.acknowledged > 1_000
    assert told.good, str(told)


@needs_fuse
async def test_a_kill_and_a_cut_at_every_change_of_the_disk_lose_nothing():
    told = await each_change(250, seed=random.randrange(1 << 30), every=6)
    assert told.outcomes > 100
    assert told.good, str(told)


@needs_fuse
async def test_the_control_without_an_fsync_a_commit_does_lose():
    told = await cuts(60, seed=random.randrange(1 << 30), how="NORMAL", until_wrong=True)
    assert not told.good
    assert any("(L1)" in wrong for wrong in told.wrong)
