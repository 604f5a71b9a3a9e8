"""The headless script ends Slicer with the right exit code, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(
    repository: Path,
    tmp_path: Path,
    *arguments: str,
    inside: bool = True,
    backend: str = "",
    script: str = "HER2Predict/Scripts/batch.py",
) -> subprocess.CompletedProcess[str]:
    """The script in its own process, under a slicer package whose exit() records the code."""
    util = tmp_path / "packages" / "slicer" / "util.py"
    util.parent.mkdir(parents=True, exist_ok=True)
    (util.parent / "__init__.py").write_text("")
    util.write_text("def exit(code):\n    print('slicer ends with', code)\n")
    if backend:  # one that misbehaves, found before the installed one
        cli = tmp_path / "packages" / "breastpredict" / "cli" / "__init__.py"
        cli.parent.mkdir(parents=True)
        (cli.parents[1] / "__init__.py").write_text("")
        cli.write_text(backend)
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    if inside:
        environment["PYTHONPATH"] = str(tmp_path / "packages")
    return subprocess.run(
        [sys.executable, str(repository / script), *arguments],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_code_of_the_command_ends_slicer(repository: Path, tmp_path: Path, code: int) -> None:
    backend = f"def main(argv):\n    print(argv)\n    return {code}\n"
    ended = run(repository, tmp_path, "--", "batch", "COHORT.csv", backend=backend)
    assert f"slicer ends with {code}" in ended.stdout
    assert "['her2', 'batch', 'COHORT.csv']" in ended.stdout


@pytest.mark.parametrize("what", ["RuntimeError('boom')", "MemoryError()", "SystemExit('stop')"])
def test_an_exception_ends_slicer_with_1(repository: Path, tmp_path: Path, what: str) -> None:
    ended = run(repository, tmp_path, "batch", backend=f"def main(argv):\n    raise {what}\n")
    assert "slicer ends with 1" in ended.stdout


def test_a_user_who_stops_it_ends_slicer_too(repository: Path, tmp_path: Path) -> None:
    backend = "def main(argv):\n    raise KeyboardInterrupt\n"
    ended = run(repository, tmp_path, "batch", backend=backend)
    assert "slicer ends with 130" in ended.stdout
    assert ended.stderr == "breastpredict: stopped; what is finished is kept\n"


def test_wrong_input_ends_slicer_with_2_and_one_line(repository: Path, tmp_path: Path) -> None:
    ended = run(repository, tmp_path, "batch", "none.csv", "--model", "m", "--out", "o")
    assert "slicer ends with 2" in ended.stdout
    assert ended.stderr.startswith("breastpredict: error: ")
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [["train"], ["batch", "--no-such-option"]])
def test_wrong_usage_ends_slicer_with_2(
    repository: Path, tmp_path: Path, arguments: list[str]
) -> None:
    assert "slicer ends with 2" in run(repository, tmp_path, *arguments).stdout


def test_outside_of_slicer_it_ends_python(repository: Path, tmp_path: Path) -> None:
    ended = run(
        repository, tmp_path, "batch", "none.csv", "--model", "m", "--out", "o", inside=False
    )
    assert ended.returncode == 2


def test_the_script_of_pcr_is_the_same_but_for_the_system(repository: Path) -> None:
    her2, pcr = (
        (repository / name).read_text("utf-8").partition('"""\n\nfrom')[2]
        for name in ("HER2Predict/Scripts/batch.py", "PCRPredict/Scripts/pcr_batch.py")
    )
    assert pcr == her2.replace('run("her2"', 'run("pcr"') != her2


def test_the_script_of_pcr_ends_slicer_with_the_commands_exit_code(
    repository: Path, tmp_path: Path
) -> None:
    words = ("batch", "none.csv", "--model", "m", "--out", "o")
    ended = run(repository, tmp_path, *words, script="PCRPredict/Scripts/pcr_batch.py")
    assert "slicer ends with 2" in ended.stdout
    assert ended.stderr.startswith("breastpredict: error: ")
