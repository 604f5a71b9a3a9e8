"""The square that is shown is the one that the chosen run's networks see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from her2_panel import Her2Panel, SmallCase

from breastpredict.phantom import write_random_run


def run_trained_on(folder: Path, roi: str, margin: float) -> Path:
    """A run whose metadata say what of the slice its networks were trained on."""
    run = write_random_run(folder)
    for file in run.glob("*/configs/metadata.json"):
        metadata = json.loads(file.read_text())
        metadata["breastpredict"]["input"] = {"roi": roi, "margin": margin}
        file.write_text(json.dumps(metadata))
    return run


@pytest.mark.parametrize(("roi", "margin"), [("square", 0.5), ("masked", 1.0), ("breast", 0.2)])
def test_of_a_run_with_another_region_the_panel_shows_that(
    her2: Her2Panel, small_case: SmallCase, tmp_path: Path, roi: str, margin: float
) -> None:
    her2.outline(small_case)
    before = her2.case.region.roi.side_mm
    her2.parameters.device = "cpu"
    her2.parameters.run = run_trained_on(tmp_path / "run", roi, margin)
    assert her2.parameters.margin == margin
    shown = her2.case.region.roi
    assert shown.side_mm > before
    her2.press("predict")
    result = her2.case.result
    assert result["roi"]["side_mm"] == pytest.approx(shown.side_mm)
    assert result["roi"]["center_ij"] == pytest.approx(shown.center_ij)
    assert result["overrides"] == []
    assert not her2.case.result_is_stale


def test_a_margin_of_the_readers_own_stays_and_is_said(
    her2: Her2Panel, small_case: SmallCase
) -> None:
    her2.prepare(small_case)
    her2.ui.marginSlider.value = 0.6
    her2.press("predict")
    assert her2.parameters.margin == 0.6
    assert any("margin" in line for line in her2.case.result["overrides"])
    assert "margin" in her2.ui.resultNoteLabel.text


def test_a_script_takes_the_margin_of_the_run_too(
    her2: Her2Panel, small_case: SmallCase, tmp_path: Path
) -> None:
    run = run_trained_on(tmp_path / "run", "square", 0.5)
    logic = her2.widget.logic
    result = logic.process(str(small_case.study), str(run), mask=str(small_case.mask))
    assert result["overrides"] == []
    assert her2.parameters.margin == 0.5


def test_the_slice_that_the_reader_chose_is_the_one_predicted(
    her2: Her2Panel, small_case: SmallCase
) -> None:
    her2.prepare(small_case)
    largest = her2.case.region.roi.slice_index
    other = next(k for k in (her2.case.region.first, her2.case.region.last) if k != largest)
    her2.ui.sliceBox.value = other
    her2.press("predict")
    assert her2.case.result["slice_index"] == other
