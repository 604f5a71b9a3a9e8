"""A batch of pCR patients gives what each gives alone, and does only what changed."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pcr_predictions import Done, names, result_of
from pcr_runs import PcrTrained, rows

from breastpredict.pcr import PcrCase, PcrModel
from breastpredict.study.batch import Limits
from breastpredict.study.pcr_batch import pcr_results, run_pcr_batch

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def several(pcr_trained: PcrTrained, pcr_done: Done) -> list[PcrCase]:
    """With all images, without a biopsy, with a tumour that is gone or masks, and one damaged."""
    found = {c.patient_id: c for c in pcr_trained.fitted()}
    del found[pcr_done.case.patient_id]
    first, second = list(found.values())[:2]
    damaged = replace(first, patient_id="DAMAGED", us0=replace(first.us0, path=Path("absent")))  # type: ignore[type-var]
    return [pcr_done.case, first, replace(second, pathology=None), damaged]


@pytest.fixture(scope="module")
def batched(
    several: list[PcrCase], pcr_trained: PcrTrained, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("batch") / "out"
    found = run_pcr_batch(several, pcr_trained.run, out, limits=Limits(workers=2))
    assert (found.predicted, found.skipped, found.failed) == (3, 0, 1)
    return out


def test_a_batch_of_processes_gives_what_each_case_gives_alone(
    batched: Path, several: list[PcrCase], pcr_model: PcrModel, pcr_done: Done
) -> None:
    table = {row["patient_id"]: row for row in pcr_results(batched).predictions()}
    assert [*table] == [c.patient_id for c in several[:3]]
    for case, variant in zip(several[:3], ("pcr_full", "pcr_full", "pcr_ultrasound"), strict=True):
        name, prepared = pcr_model.prepare(case)
        alone = pcr_model.predict(name, prepared)
        row = table[case.patient_id]
        assert row["variant"] == name == variant
        assert float(row["p_pcr"]) == alone.score.score  # to the last bit
        folder = batched / row["case_key"]
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "maps" / "us1_gradcam.nrrd")))
        assert np.array_equal(image[0], prepared.rois["us1"].place(alone.maps[0].values["us1"]))
    one, other = result_of(batched / table[pcr_done.case.patient_id]["case_key"]), pcr_done.result
    assert {k: v for k, v in one.items() if k != "date"} == {
        k: v for k, v in other.items() if k != "date"
    }
    assert names(batched / table[pcr_done.case.patient_id]["case_key"]) == names(pcr_done.folder)
    no_slide = batched / table[several[2].patient_id]["case_key"]
    assert not {"heatmap.dcm", "pathology_gradcam.nrrd"} & names(no_slide)


def test_the_network_says_of_a_case_what_it_says_of_it_among_others(
    several: list[PcrCase], pcr_model: PcrModel, pcr_trained: PcrTrained
) -> None:
    from breastpredict.learning.examples import network_array
    from breastpredict.models import load_bundle

    net = load_bundle(pcr_trained.run / "pcr_full", "cpu", "pcr").model
    held = [pcr_model.prepare(c, "pcr_full")[1] for c in several[:2]]
    together = {
        name: torch.stack([torch.from_numpy(network_array(name, p.inputs[name])) for p in held])
        for name in net.inputs
    }
    with torch.inference_mode():
        logits = net(**together)[:, 0].tolist()
    for prepared, logit in zip(held, logits, strict=True):
        alone = pcr_model.predict("pcr_full", prepared, explain=())
        assert alone.score.score == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)


def test_a_damaged_case_costs_a_row_with_its_reason(batched: Path) -> None:
    (row,) = rows(batched / "failures.csv")
    assert row["patient_id"] == "DAMAGED" and row["reason"] and "\n" not in row["reason"]


def test_a_second_batch_does_only_what_changed(
    batched: Path, several: list[PcrCase], pcr_trained: PcrTrained, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(batched, tmp_path / "out"))

    def again(cases: list[PcrCase], **options: Any) -> tuple[int, int, int]:
        ended = run_pcr_batch(cases, pcr_trained.run, out, limits=Limits(workers=0), **options)
        return ended.predicted, ended.skipped, ended.failed

    before = {p: p.stat().st_mtime_ns for p in out.glob("*/result.json")}
    table = (out / "predictions.csv").read_bytes()
    assert again(several) == (0, 3, 1)
    assert {p: p.stat().st_mtime_ns for p in out.glob("*/result.json")} == before
    assert (out / "predictions.csv").read_bytes() == table
    other = replace(several[1].clinical, ki67=1.5)
    assert again([several[0], replace(several[1], clinical=other), several[2]]) == (1, 2, 0)
    assert again(several[2:3], explain=("occlusion",)) == (1, 0, 0)
    names_now = names(out / pcr_results(out).predictions()[-1]["case_key"])
    assert "us0_occlusion.nrrd" in names_now and "us0_gradcam.nrrd" not in names_now
