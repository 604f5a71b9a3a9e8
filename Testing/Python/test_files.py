"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from breastpredict.files import write_atomic, write_folder, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_only_when_its_writing_has_ended_well(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "one\n")
    with pytest.raises(ValueError, match="midway"), write_atomic(target) as temporary:
        temporary.write_text("half")
        raise ValueError("midway")
    assert target.read_text() == "one\n" and names(tmp_path) == ["table.csv"]


def test_a_folder_is_replaced_only_when_its_writing_has_ended_well(tmp_path: Path) -> None:
    target = tmp_path / "case"
    with write_folder(target) as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(ValueError, match="midway"), write_folder(target) as temporary:
        (temporary / "a").write_text("half")
        raise ValueError("midway")
    assert (target / "a").read_text() == "old" and names(tmp_path) == ["case"]
    with write_folder(target) as temporary:
        (temporary / "b").write_text("new")
    assert names(target) == ["b"] and names(tmp_path) == ["case"]


@pytest.mark.parametrize("kill_at", [1, 2])
def test_a_kill_between_the_renames_loses_nothing(tmp_path: Path, kill_at: int) -> None:
    """Killed before the first rename or between both, the old folder or the new one is there."""
    target = tmp_path / "case"
    with write_folder(target) as temporary:
        (temporary / "a").write_text("old")
    script = f"""
import os, signal
from breastpredict import files
rename, calls = os.replace, []
def killed(source, target):
    calls.append(1)
    if len(calls) == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
files.os.replace = killed
with files.write_folder({str(target)!r}) as temporary:
    (temporary / "a").write_text("new")
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(KeyError), write_folder(target) as temporary:
        assert (target / "a").read_text() == "old"
        raise KeyError
    assert (target / "a").read_text() == "old" and names(tmp_path) == ["case"]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_results_are_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "")
        with write_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750
