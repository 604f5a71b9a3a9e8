"""Training on a cohort through the panel of PCR Predict, and predicting with what comes of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from her2_panel import all_dead
from pcr_panel import SECONDS, PcrPanel
from pcr_runs import rows
from PIL import Image
from safetensors.torch import load_file
from slide_files import tissue
from ultrasound_screens import fan, screen

from breastpredict.pcr import words_of
from breastpredict.study import read_pcr_cohort

EPOCHS = 2
PATIENTS = 20
"""As few as can be trained on: ten of each outcome."""
VARIANTS = ("pcr_full", "pcr_ultrasound")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of both times and of the biopsy, four clinical variables, and the outcome."""
    folder = tmp_path_factory.mktemp("cohort")
    table = []
    for number in range(PATIENTS):
        responds = number % 2 == 0
        for time in (0, 1):
            pixels = screen(fan(), 2 * number + time)
            Image.fromarray(pixels).save(folder / f"{number}-us{time}.png")
        Image.fromarray(tissue(192, 192, seed=number)).save(folder / f"{number}.png")
        table.append(
            {
                "patient_id": f"P{number:02d}",
                "cohort": "SITE",
                "split": "",
                "focality": "unifocal",
                "us0": f"{number}-us0.png",
                "us1": f"{number}-us1.png",
                "us0_roi": "box:140,100,240,200",
                "us1_roi": "box:150,110,230,190" if responds else "us0",
                "us0_date": "2024-01-31",
                "us1_date": "2024-03-13",
                "pathology": f"{number}.png",
                "subtype": "TN",
                "er": "negative",
                "ki67": str(20 + 30 * responds + number),
                "regimen": ("taxane", "taxane+platinum")[number // 2 % 2],
                "pcr": str(int(responds)),
            }
        )
    with open(folder / "COHORT.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    return folder / "COHORT.csv"


def log(pcr: PcrPanel) -> list[str]:
    return [line for line in pcr.ui.trainLog.toPlainText().split("\n") if line]


def assert_whole(path: Path) -> None:
    """A file can be read to its end."""
    if path.suffix == ".json":
        json.loads(path.read_text("utf-8"))
    elif path.suffix == ".csv":
        assert path.read_bytes().endswith(b"\n")
    elif path.suffix == ".safetensors":
        load_file(path)
    elif path.suffix == ".pt":
        torch.load(path, weights_only=True)


def test_a_cohort_is_trained_on_stopped_resumed_and_its_run_predicts(
    pcr: PcrPanel, cohort: Path, tmp_path: Path
) -> None:
    ui, p, run = pcr.ui, pcr.parameters, tmp_path / "run"
    assert pcr.why_not("train") == "Choose the table of the cohort."
    ui.cohortEdit.currentPath = str(cohort)
    assert pcr.why_not("train") == "Choose a folder for the run."
    ui.trainingRunEdit.currentPath = str(run)
    assert ui.networkBox.currentText == "se-crosst-t" and ui.weightsEdit.text == ""
    ui.networkBox.currentText = "reduced"
    ui.variantsEdit.text = "full, ultrasound"
    ui.epochsBox.value, p.device = EPOCHS, "cpu"

    # Stopped in the middle.
    ui.trainButton.click()
    assert pcr.why_not("train") == "Busy: training. Cancel it, or wait."
    assert pcr.enabled() == set() and ui.taskLabel.text.startswith("Training")
    pcr.app.wait_until(
        lambda: pcr.panel.problem or any("epoch 1/" in line for line in log(pcr)), SECONDS
    )
    assert not pcr.panel.problem
    assert ui.progressBar.maximum > 0
    family = pcr.family()
    ui.cancelButton.click()
    assert all_dead(family) and ui.problemLabel.text == "Cancelled."
    assert str(p.run) == "." and "train" in pcr.enabled()
    # What it left is to go on from, and no run: no bundle, and no file that is cut off.
    left = [path for path in run.rglob("*") if path.is_file()]
    assert left and not [*run.glob("*/configs")] and not [*run.glob("*/models")]
    for path in left:
        if not path.name.startswith(".part-"):
            assert_whole(path)
    p.run = run
    assert pcr.panel.predict.problem and pcr.case.facts() is None
    p.run = Path()

    # Without the tick, an unfinished run is not written over in silence.
    ui.trainButton.click()
    pcr.wait()
    assert ui.problemLabel.text and ui.problemLabel.text != "Cancelled."

    ui.resumeBox.click()
    pcr.press("train")
    assert log(pcr)[-1] == "Done. The new run is chosen for predicting."
    assert p.run == run and ui.runBox.currentText == f"run  ({run})"
    assert not pcr.panel.predict.problem
    for variant in VARIANTS:
        history = (run / "training" / variant / "history.csv").read_text().splitlines()
        assert len(history) == 1 + EPOCHS

    # The run that was just chosen predicts, as it scored the same patient itself.
    case = read_pcr_cohort(cohort)[3]
    told = words_of(case)
    for words, variant in zip((told, without_biopsy(told)), VARIANTS, strict=True):
        p.explain = "none"
        result = pcr.predict(words, run)
        assert result["variant"] == variant and f"'{variant}'" in ui.scoreLabel.text
        assert result["probability"] == pytest.approx(
            score_of(run, case.patient_id, variant), abs=1e-5
        )


def without_biopsy(words: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in words.items() if "pathology" not in name}


def score_of(run: Path, patient: str, variant: str) -> float:
    """What the training has written of a patient."""
    [row] = [
        row
        for row in rows(run / "scores.csv")
        if (row["patient_id"], row["task"]) == (patient, variant)
    ]
    return float(row["score"])


def test_a_cohort_that_cannot_be_trained_on_is_named(pcr: PcrPanel, tmp_path: Path) -> None:
    table = tmp_path / "COHORT.csv"
    table.write_text("patient_id,cohort,split\nA,B,\n")
    pcr.ui.cohortEdit.currentPath = str(table)
    pcr.ui.trainingRunEdit.currentPath = str(tmp_path / "run")
    pcr.ui.trainButton.click()
    pcr.wait()
    assert str(table) in pcr.ui.problemLabel.text
    assert str(pcr.parameters.run) == "." and not (tmp_path / "run").exists()
