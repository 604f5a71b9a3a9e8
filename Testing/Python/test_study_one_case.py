"""One case into a results folder: what a reader chooses, and what is kept beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import LESION, SIZE, command, make_mask, make_study
from dce_volumes import TIMES, dce

from breastpredict.dicom import read_study
from breastpredict.phantom import StudyHeader, write_dce


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("study") / "dicom")


def predicted(
    capfd: pytest.CaptureFixture[str], study: Path, run: Path, out: Path, *words: object
) -> dict[str, Any]:
    ended = command(
        capfd, "her2", "predict", study, "--model", run, "--out", out, "--json", *map(str, words)
    )
    assert ended.code == 0, ended.err
    result: dict[str, Any] = json.loads(ended.out)
    return result


def test_the_reader_may_choose_another_slice_of_the_lesion(
    capfd: pytest.CaptureFixture[str], study: Path, tiny_run: Path, tmp_path: Path
) -> None:
    mask = make_mask(tmp_path / "mask.nrrd", study)
    chosen = LESION[0].start
    one = predicted(capfd, study, tiny_run, tmp_path, "--segmentation", mask)
    other = predicted(capfd, study, tiny_run, tmp_path, "--segmentation", mask, "--slice", chosen)
    assert one["slice_index"] != other["slice_index"] == chosen
    assert other["area_mm2"] == pytest.approx(one["area_mm2"])  # the lesion is a block
    assert other["scores"] != one["scores"]


@pytest.mark.parametrize("k", [LESION[0].stop, -1, SIZE[2]])
def test_a_slice_without_the_lesion_is_refused_with_its_extent(
    capfd: pytest.CaptureFixture[str], study: Path, tiny_run: Path, tmp_path: Path, k: int
) -> None:
    mask = make_mask(tmp_path / "mask.nrrd", study)
    ended = command(
        capfd, "her2", "predict", study, "--model", tiny_run, "--out", tmp_path / "out",
        "--segmentation", mask, f"--slice={k}",
    )  # fmt: skip
    assert ended.code == 2
    first, last = LESION[0].start, LESION[0].stop - 1
    assert f"The largest lesion is not on slice {k}" in ended.line
    assert f"from slice {first} to {last}" in ended.line
    assert not (tmp_path / "out").exists()


def test_both_breasts_of_one_folder_keep_their_results(
    capfd: pytest.CaptureFixture[str], tiny_run: Path, tmp_path: Path
) -> None:
    right = dce(4, 1, SIZE, lesion=LESION, origin=(-90.0, -60.0, 30.0), seed=1)
    left = dce(4, 1, SIZE, lesion=LESION, origin=(55.0, -60.0, 30.0), seed=5)
    folder = tmp_path / "study"
    header = StudyHeader(laterality=None)
    write_dce(folder, right, layout="ge", times_s=TIMES, second_stack=left, header=header)
    middle = np.array([(part.start + part.stop) / 2 for part in LESION[::-1]])
    scores = {}
    for acquisition in read_study(folder).dce:
        side = str(acquisition.laterality)
        point = acquisition.phases[0].geometry.index_to_physical(middle)
        seed = ",".join(map(str, point.tolist()))
        scores[side] = predicted(capfd, folder, tiny_run, tmp_path / "out", "--seed-point", seed)[
            "scores"
        ]
    kept = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*/result.json")]
    assert {result["laterality"]: result["scores"] for result in kept} == scores
    assert set(scores) == {"R", "L"}
    rows = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert len(rows) == 3
