"""HER2 Predict without its panel: scripts, the module's own test, and sample data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import LESION
from dce_volumes import only
from harness import Harness
from her2_panel import MODULE, Her2Panel, SmallCase

from breastpredict.dicom import read_study


@pytest.fixture
def logic(slicer_app: Harness, lent_worker: Any) -> Iterator[Any]:
    """What a script makes: the module is loaded, and never shown."""
    slicer_app.load(MODULE)
    from HER2Predict import HER2PredictLogic

    made = HER2PredictLogic()
    yield made
    made.close()


def test_a_script_gets_a_result_its_files_and_its_nodes(logic: Any, small_case: SmallCase) -> None:
    import slicer

    result = logic.process(str(small_case.study), str(small_case.run), mask=str(small_case.mask))
    folder = Path(result.pop("folder"))
    assert json.loads((folder / "result.json").read_text("utf-8")) == result
    assert (folder / "report.html").is_file() and (folder / "heatmap.dcm").is_file()
    p = logic.getParameterNode()
    assert slicer.util.arrayFromVolume(p.map).max() > 0
    values = slicer.util.arrayFromTableColumn(p.table, "value")
    expected = [*result["probabilities"].values(), *(s["score"] for s in result["scores"])]
    np.testing.assert_allclose(values, expected)
    assert p.chart.GetNthPlotSeriesNode(0).GetTableNode() is p.table
    slicer.mrmlScene.Clear()
    logic.close()
    assert not folder.exists()


def test_a_script_can_point_at_the_tumour(logic: Any, small_case: SmallCase) -> None:
    centre = [(part.start + part.stop - 1) / 2 for part in LESION[::-1]]
    geometry = only(read_study(small_case.study)).phases[1].geometry
    x, y, z = geometry.index_to_physical(np.array(centre)).tolist()
    result = logic.process(str(small_case.study), str(small_case.run), point=[-x, -y, z])
    assert result["status"] == "predicted"
    assert LESION[0].start <= result["slice_index"] < LESION[0].stop
    assert logic.getParameterNode().outlinedBy == "point"


def test_a_script_is_told_what_is_refused(
    logic: Any, small_case: SmallCase, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="none") as error:
        logic.process(str(tmp_path / "none"), str(small_case.run))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"There is no tumour yet\."):
        logic.process(str(small_case.study), str(small_case.run))


def test_the_modules_own_test_passes_and_fails_when_the_backend_is_broken(
    slicer_app: Harness, lent_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = slicer_app.load(MODULE)
    slicer_app.run_module_test(module)
    from HER2PredictLib import overlay_nodes, tumour_nodes

    shown = overlay_nodes.map_volume

    def misplaced(file: str, phase: Any, result: dict[str, Any], opened: dict[str, Any]) -> Any:
        return shown(file, phase, {**result, "slice_index": result["slice_index"] - 1}, opened)

    with monkeypatch.context() as broken, pytest.raises(AssertionError):
        broken.setattr(overlay_nodes, "map_volume", misplaced)
        slicer_app.run_module_test(module)
    with monkeypatch.context() as broken, pytest.raises(Exception, match="no tumour"):
        broken.setattr(tumour_nodes, "set_mask", lambda *_: None)
        slicer_app.run_module_test(module)


def test_sample_data_offers_a_phantom_that_is_made_here(
    slicer_app: Harness, lent_worker: Any
) -> None:
    import SampleData
    import slicer

    slicer_app.load(MODULE)
    assert slicer.modules.sampleDataSources == {}
    slicer_app.finish_startup()
    [source] = slicer.modules.sampleDataSources["BreastPredict"]
    assert Path(source.thumbnailFileName).is_file()
    volumes = SampleData.SampleDataLogic().downloadSamples("HER2 phantom study")
    assert [v.GetClassName() for v in volumes] == ["vtkMRMLScalarVolumeNode"] * 3
    before, after, difference = map(slicer.util.arrayFromVolume, volumes)
    np.testing.assert_array_equal(difference, after - before)
    assert difference.max() > 0.5 * before.mean()
    [study] = slicer.dicomDatabase.studiesForPatient(slicer.dicomDatabase.patients()[0])
    assert slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode") == []
    # What it left in the database outlives the files it was made in.
    panel = Her2Panel(slicer_app)
    panel.ui.sourceBox.currentIndex = 1
    panel.ui.databaseBox.currentIndex = 1
    assert panel.parameters.studyUID == study
    panel.press("open")
    panel.press("load")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(panel.parameters.early), after)
