"""Training on a cohort through the panel of HER2 Predict."""

from __future__ import annotations

from pathlib import Path

import pytest
from her2_panel import SECONDS, Her2Panel, all_dead

from breastpredict.phantom import make_her2_phantom

EPOCHS = 8


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As few patients as can be trained on: of every class at least five."""
    return make_her2_phantom(
        tmp_path_factory.mktemp("cohort"),
        {"SITE-A": 26}, seed=7, matrix=48, slices=8, phases=2, workers=1,
    )  # fmt: skip


def log(her2: Her2Panel) -> list[str]:
    return [line for line in her2.ui.trainLog.toPlainText().split("\n") if line]


def test_a_cohort_is_trained_on_stopped_resumed_and_its_run_chosen(
    her2: Her2Panel, cohort: Path, tmp_path: Path
) -> None:
    ui, run = her2.ui, tmp_path / "run"
    assert her2.why_not("train") == "Choose the table of the cohort."
    ui.cohortEdit.currentPath = str(cohort)
    assert her2.why_not("train") == "Choose a folder for the run."
    ui.trainingRunEdit.currentPath = str(run)
    assert ui.networkBox.currentText == "tiny" and ui.weightsEdit.text == ""
    ui.networkBox.currentText = "reduced"
    ui.epochsBox.value = EPOCHS
    her2.parameters.device = "cpu"

    # Stopped in the middle.
    ui.trainButton.click()
    assert her2.why_not("train") == "Busy: training. Cancel it, or wait."
    assert her2.enabled() == set() and ui.taskLabel.text.startswith("Training")
    her2.app.wait_until(
        lambda: her2.panel.problem or any("epoch 1/" in line for line in log(her2)), SECONDS
    )
    assert not her2.panel.problem
    assert ui.progressBar.maximum > 0
    family = her2.family()
    ui.cancelButton.click()
    assert all_dead(family) and ui.problemLabel.text == "Cancelled."
    assert her2.parameters.run != run and "train" in her2.enabled()

    # Without the tick, an unfinished run is not written over in silence.
    ui.trainButton.click()
    her2.wait()
    assert ui.problemLabel.text and ui.problemLabel.text != "Cancelled."

    ui.resumeBox.click()
    her2.press("train")
    assert log(her2)[-1] == "Done. The new run is chosen for predicting."
    assert her2.parameters.run == run
    assert ui.runBox.currentText == f"run  ({run})" and not her2.panel.predict.problem
    assert "Training" not in ui.taskLabel.text or not ui.taskFrame.visible
    assert "synthetic" in ui.syntheticLabel.text  # as the phantoms are
    for task in ("her2_zero_vs_rest", "her2_low_vs_positive"):
        history = (run / "training" / task / "history.csv").read_text().splitlines()
        assert len(history) == 1 + EPOCHS


def test_a_cohort_that_cannot_be_trained_on_is_named(her2: Her2Panel, tmp_path: Path) -> None:
    table = tmp_path / "COHORT.csv"
    table.write_text("patient_id,cohort,split\nA,B,\n")
    her2.ui.cohortEdit.currentPath = str(table)
    her2.ui.trainingRunEdit.currentPath = str(tmp_path / "run")
    her2.ui.trainButton.click()
    her2.wait()
    assert str(table) in her2.ui.problemLabel.text
    assert her2.parameters.run != tmp_path / "run" and not (tmp_path / "run").exists()
