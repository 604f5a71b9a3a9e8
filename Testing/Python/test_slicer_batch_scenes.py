"""`--mrb` of the batch scripts: a scene for each predicted case, to be opened in Slicer.

The scenes are written and read by Slicer's own library. Where a voxel must lie is known from the
volumes that the studies were made of, from dcmqi, or from the source files.
"""

from __future__ import annotations

import csv
import json
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from cli_runs import LESION, SECRET_ID, SECRET_NAME, SIZE, environment, make_mask
from dce_volumes import TIMES, dce, only
from dicom_results import GEOMETRIES, PROVENANCE, affine, read_map
from harness import Harness
from pcr_panel import PhantomList

from breastpredict.dicom import read_parametric_map, read_study, write_parametric_map
from breastpredict.errors import InputError
from breastpredict.imaging import Geometry
from breastpredict.phantom import StudyHeader, write_dce

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = {"her2": "HER2Predict/HER2Predict.py", "pcr": "PCRPredict/PCRPredict.py"}
SCRIPTS = {"her2": "HER2Predict/Scripts/batch.py", "pcr": "PCRPredict/Scripts/pcr_batch.py"}
FLIP = np.array([-1.0, -1.0, 1.0])
PLACES = ("axial", "sagittal", "oblique")
OTHERS = ("oblique", "axial", "sagittal")


@dataclass(frozen=True)
class Cohort:
    """A cohort of three acquisitions that lie differently, and one patient without a mask.

    Attributes:
        table: COHORT.csv.
        volumes: patient → the volumes of the phases, as the study was made of them.
    """

    table: Path
    volumes: dict[str, list[sitk.Image]]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("placed")
    volumes = {}
    lines = ["patient_id,cohort,split,study,segmentation,ihc,ish"]
    for number, place in enumerate(PLACES):
        patient = f"{SECRET_ID}-{place}"
        volumes[patient] = dce(3, 1, SIZE, lesion=LESION, seed=number, **GEOMETRIES[place])
        header = StudyHeader(patient_id=patient, patient_name=SECRET_NAME, seed=number)
        study = folder / patient
        write_dce(study, volumes[patient], layout="siemens", times_s=TIMES[:3], header=header)
        make_mask(folder / f"{patient}.nrrd", study)
        lines.append(f"{patient},SITE,external,{patient},{patient}.nrrd,3+,")
    lines.append(f"{SECRET_ID}-nomask,OTHER,external,{SECRET_ID}-axial,,3+,")
    table = folder / "COHORT.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Cohort(table, volumes)


Script = Callable[..., int]


@pytest.fixture
def script(slicer_app: Harness, lent_worker: Any) -> Iterator[Script]:
    """The script's `main` inside the running application, with a child process that lasts."""

    def run(system: str, *words: str | Path) -> int:
        slicer_app.load(REPOSITORY / MODULES[system])
        from BreastPredictLib.script import main

        argv = ["--", *map(str, words), "--workers", "0", "--quiet"]
        return main(system, ("batch", "predict"), argv)

    yield run


@pytest.fixture(scope="module")
def finished(cohort: Cohort, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the whole cohort, without scenes; to copy, not to change."""
    from breastpredict.cli import main

    out = tmp_path_factory.mktemp("finished") / "out"
    words = ["her2", "batch", cohort.table, "--model", tiny_run, "--out", out, "--workers", "0"]
    assert main([str(word) for word in words] + ["--cohort", "SITE", "--quiet"]) == 0
    return out


@pytest.fixture
def begun(finished: Path, tmp_path: Path) -> Path:
    """The same, to go on with."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def keys(out: Path) -> dict[str, str]:
    """Patient → case key."""
    with open(out / "predictions.csv", encoding="utf-8", newline="") as file:
        return {row["patient_id"]: row["case_key"] for row in csv.DictReader(file)}


def bundle_of(out: Path, key: str) -> Path:
    return out / key / f"{key}.mrb"


def bundles(out: Path) -> list[Path]:
    return sorted(out.rglob("*.mrb"))


def leftovers(out: Path) -> list[str]:
    """Hidden folders, which hold what is not finished."""
    return [path.name for path in out.iterdir() if path.name.startswith(".") and path.is_dir()]


def opened(app: Harness, bundle: Path) -> dict[str, list[Any]]:
    """The bundle read into an empty scene by Slicer: class, shortened → nodes.

    Slicer 5.12 complains of every view that it reads which is turned to an oblique volume, and of
    markups that are drawn before all is read.
    """
    import slicer

    slicer.mrmlScene.Clear()
    turned, drawn = "invalid orientation preset name: Reformat", "subject hierarchy item"
    with app.failures.allowed(turned, drawn):
        slicer.util.loadScene(str(bundle))  # raises where it cannot
    found: dict[str, list[Any]] = {}
    for number in range(slicer.mrmlScene.GetNumberOfNodes()):
        node = slicer.mrmlScene.GetNthNode(number)
        kind = node.GetClassName().removeprefix("vtkMRML").removesuffix("Node")
        found.setdefault(kind, []).append(node)
    return found


def named(nodes: list[Any], word: str) -> Any:
    """The only node with the word in its name."""
    (node,) = [node for node in nodes if word in node.GetName()]
    return node


def at(node: Any, lps: np.ndarray) -> np.ndarray:
    """The values of a volume node at points ``[n, 3]`` that lie on its voxels; LPS in mm."""
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    return _taken(slicer.util.arrayFromVolume(node), matrix, lps)


def _taken(array: np.ndarray, matrix: Any, lps: np.ndarray) -> np.ndarray:
    ras = np.c_[lps * FLIP, np.ones(len(lps))]
    four = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    ijk = (ras @ four.T)[:, :3]
    index = np.rint(ijk).astype(int)
    assert np.abs(index - ijk).max() < 1e-2, "the points do not lie on voxels"
    values: np.ndarray = array[index[:, 2], index[:, 1], index[:, 0]]
    return values


def points_of(image: sitk.Image) -> np.ndarray:
    """LPS of every voxel, in the order of the array ``[k, j, i]``."""
    matrix, origin = affine(image)
    ijk = np.stack(np.indices(image.GetSize()[::-1])[::-1], axis=-1).reshape(-1, 3)
    return ijk @ matrix.T + origin


def texts_of(bundle: Path) -> str:
    """All that can be read in a bundle: names of files, the scene, tables, texts, image headers."""
    found = []
    with zipfile.ZipFile(bundle) as archive:
        for name in archive.namelist():
            head = archive.read(name)
            if name.endswith((".nrrd", ".nhdr")):
                head = head.partition(b"\n\n")[0]
            found += [name, head.decode("utf-8", "replace")]
    return "\n".join(found)


def said(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of the script on standard error; VTK's own complaints are not its."""
    lines = capfd.readouterr().err.splitlines()
    return [line for line in lines if "vtk" not in line and line.strip("\x1b[0m")]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be predicted again where scenes only are missing."""
    from breastpredict.study.her2_batch import Her2System

    def run(self: Any, inputs: Any) -> Any:
        raise AssertionError("predicted again")

    monkeypatch.setattr(Her2System, "run", run)


def batch_of(script: Script, cohort: Cohort, run: Path, out: Path, *more: str) -> int:
    words = (cohort.table, "--model", run, "--out", out, "--cohort", "SITE", "--mrb", *more)
    return script("her2", "batch", *words)


def words_of(cohort: Cohort, run: Path, out: Path, *more: str) -> list[str]:
    """The command line of a batch, as the scenes are told of it."""
    words = ["batch", cohort.table, "--model", run, "--out", out, "--cohort", "SITE", "--quiet"]
    return [*map(str, words), *more]


def scenes_of(script: Script) -> Any:
    """The part of the script that makes scenes."""
    assert script("her2", "say") == 2  # whatever: it is loaded now
    import BreastPredictLib.review_scenes

    return BreastPredictLib.review_scenes


def test_volume_tumour_and_map_lie_on_the_voxels_they_came_from(
    script: Script,
    slicer_app: Harness,
    cohort: Cohort,
    tiny_run: Path,
    begun: Path,
    no_network: None,
    tmp_path: Path,
) -> None:
    import slicer
    import vtk

    assert batch_of(script, cohort, tiny_run, begun) == 0
    assert leftovers(begun) == []
    assert len(bundles(begun)) == 3
    for patient, volumes in cohort.volumes.items():
        key = keys(begun)[patient]
        nodes = opened(slicer_app, bundle_of(begun, key))
        early = named(nodes["ScalarVolume"], "DCE phase 2")
        source = volumes[1]
        places = points_of(source)
        np.testing.assert_array_equal(
            at(early, places), sitk.GetArrayFromImage(source).ravel().astype(float)
        )
        # The tumour, by the lesion that was planted.
        (segmentation,) = nodes["Segmentation"]
        labels = slicer.util.arrayFromSegmentBinaryLabelmap(
            segmentation, segmentation.GetSegmentation().GetNthSegmentID(0), early
        )
        planted = np.zeros(SIZE[::-1], bool)
        planted[LESION] = True
        matrix = vtk.vtkMatrix4x4()
        early.GetRASToIJKMatrix(matrix)
        found = _taken(labels, matrix, places)
        np.testing.assert_array_equal(found > 0, planted.ravel())
        # The map, by the one that dcmqi reads of the DICOM result.
        heat = named(nodes["ScalarVolume"], "Attention map")
        written = read_map(begun / key / "heatmap.dcm", tmp_path / key)
        values = sitk.GetArrayFromImage(written).ravel()
        np.testing.assert_allclose(at(heat, points_of(written)), values, rtol=1e-6)
        assert (values > 0).sum() > 20
        assert (slicer.util.arrayFromVolume(heat) != 0).sum() == (values != 0).sum()
        assert heat.GetDisplayNode().GetApplyThreshold()
        # The square, around the lesion's centre in its own plane.
        (region,) = nodes["MarkupsROI"]
        centre = [0.0] * 3
        region.GetCenterWorld(centre)
        middle = np.array([[(part.start + part.stop - 1) / 2 for part in LESION[::-1]]])
        matrix_lps, origin = affine(source)
        off = np.linalg.norm((np.array(centre) * FLIP - (middle @ matrix_lps.T + origin))[0])
        assert off <= 1.0 * source.GetSpacing()[2] + 1e-6


def test_an_opened_scene_shows_the_map_over_the_phase_at_the_tumour(
    script: Script, slicer_app: Harness, cohort: Cohort, tiny_run: Path, begun: Path
) -> None:
    assert batch_of(script, cohort, tiny_run, begun) == 0
    nodes = opened(slicer_app, bundle_of(begun, keys(begun)[f"{SECRET_ID}-oblique"]))
    early = named(nodes["ScalarVolume"], "DCE phase")
    heat = named(nodes["ScalarVolume"], "map")
    centre = [0.0] * 3
    nodes["MarkupsROI"][0].GetCenterWorld(centre)
    view = slicer_app.view("Red")
    assert view.composite.GetBackgroundVolumeID() == early.GetID()
    assert view.composite.GetForegroundVolumeID() == heat.GetID()
    assert view.composite.GetForegroundOpacity() == pytest.approx(0.6)
    shown = view.probe(tuple(centre))
    assert shown["foreground"] is not None and shown["background"] > 0
    assert view.image().std() > 5  # something is to be seen
    assert not nodes["Segmentation"][0].GetDisplayNode().GetVisibility2DFill()


def test_the_result_is_in_the_scene_and_what_it_must_not_be_used_for(
    script: Script, slicer_app: Harness, cohort: Cohort, tiny_run: Path, begun: Path
) -> None:
    import slicer

    assert batch_of(script, cohort, tiny_run, begun) == 0
    key = keys(begun)[f"{SECRET_ID}-axial"]
    with open(begun / "predictions.csv", encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["case_key"] == key)
    nodes = opened(slicer_app, bundle_of(begun, key))
    table = named(nodes["Table"], "HER2 prediction").GetTable()
    shown = {table.GetValue(n, 0).ToString(): table.GetValue(n, 1) for n in range(5)}
    for name in ("zero", "low", "positive"):
        assert shown[f"HER2-{name}"].ToDouble() == pytest.approx(float(row[f"p_{name}"]), abs=1e-6)
    text = named(nodes["Text"], "Research use only").GetText()
    assert "esearch use only" in text and key in text
    assert f"HER2-{row['predicted_class']}" in text
    assert "synthetic" in text.lower()  # the run has learnt nothing
    assert "research use only" in named(nodes["PlotChart"], "HER2").GetTitle()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(named(nodes["ScalarVolume"], "DCE phase"))
    study = hierarchy.GetItemParent(item)
    assert hierarchy.GetItemName(hierarchy.GetItemParent(study)) == f"Case {key}"


def test_nothing_in_a_bundle_tells_whose_images_they_are(
    script: Script, cohort: Cohort, tiny_run: Path, begun: Path
) -> None:
    assert batch_of(script, cohort, tiny_run, begun) == 0
    for patient, key in keys(begun).items():
        text = texts_of(bundle_of(begun, key))
        assert "DCE phase" in text and key in text
        study = read_study(cohort.table.parent / patient)
        secrets = [SECRET_ID, "Secretname", "Jane", str(cohort.table.parent), str(begun)]
        secrets += [study.study_uid, study.dce[0].phases[1].instances[0].sop_instance_uid]
        assert [secret for secret in secrets if secret in text] == []
        assert re.findall(r"\b1\.2\.826\.[0-9.]+", text) == []


def test_a_second_run_makes_only_what_is_missing_or_of_a_case_that_changed(
    script: Script, slicer_app: Harness, cohort: Cohort, tiny_run: Path, begun: Path
) -> None:
    assert batch_of(script, cohort, tiny_run, begun) == 0
    first, second, third = (bundle_of(begun, keys(begun)[f"{SECRET_ID}-{p}"]) for p in OTHERS)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (second, third)}
    first.unlink()
    mask = cohort.table.parent / f"{SECRET_ID}-{OTHERS[1]}.nrrd"
    whole = mask.read_bytes()
    try:
        image = sitk.ReadImage(str(mask))
        smaller = sitk.GetArrayFromImage(image)
        smaller[:, :, : LESION[2].start + 3] = 0
        new = sitk.GetImageFromArray(smaller)
        new.CopyInformation(image)
        sitk.WriteImage(new, str(mask))
        assert batch_of(script, cohort, tiny_run, begun) == 0
    finally:
        mask.write_bytes(whole)
    assert bundles(begun) == sorted([first, second, third])
    assert (third.stat().st_mtime_ns, third.read_bytes()) == before[third]
    assert second.read_bytes() != before[second][1]
    nodes = opened(slicer_app, second)
    import slicer

    (segmentation,) = nodes["Segmentation"]
    labels = slicer.util.arrayFromSegmentBinaryLabelmap(
        segmentation, "Tumour", named(nodes["ScalarVolume"], "DCE phase")
    )
    assert labels.sum() == (smaller > 0).sum()


def test_a_changed_case_that_is_done_without_scenes_keeps_no_old_one(
    script: Script, cohort: Cohort, tiny_run: Path, begun: Path
) -> None:
    assert batch_of(script, cohort, tiny_run, begun) == 0
    words = (cohort.table, "--model", tiny_run, "--out", begun, "--cohort", "SITE")
    assert script("her2", "batch", *words, "--explain", "none") == 0
    assert bundles(begun) == []


def test_without_a_map_the_scene_has_none(
    script: Script, slicer_app: Harness, cohort: Cohort, tiny_run: Path, tmp_path: Path
) -> None:
    assert batch_of(script, cohort, tiny_run, tmp_path / "out", "--explain", "none") == 0
    nodes = opened(
        slicer_app, bundle_of(tmp_path / "out", keys(tmp_path / "out")[f"{SECRET_ID}-axial"])
    )
    assert [node.GetName() for node in nodes["ScalarVolume"]] == ["DCE phase 2 (after contrast)"]
    assert nodes["Segmentation"][0].GetDisplayNode().GetVisibility2DFill()


def test_a_failed_scene_costs_a_line_and_code_1_and_no_other_case(
    script: Script, cohort: Cohort, tiny_run: Path, begun: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key = keys(begun)[f"{SECRET_ID}-sagittal"]
    (begun / key / "segmentation.dcm").write_bytes(b"no DICOM")
    capfd.readouterr()
    assert batch_of(script, cohort, tiny_run, begun) == 1
    (line,) = said(capfd)
    assert line.startswith(f"breastpredict: error: no scene of case {key}: ")
    assert SECRET_ID not in line and str(begun) not in line and "internal" not in line
    assert len(bundles(begun)) == 2 and not bundle_of(begun, key).exists()
    assert leftovers(begun) == []
    assert len(keys(begun)) == 3  # it is predicted all the same


def test_a_map_of_another_place_is_not_shown(
    script: Script, cohort: Cohort, tiny_run: Path, begun: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here, there = (keys(begun)[f"{SECRET_ID}-{place}"] for place in ("axial", "oblique"))
    shutil.copy(begun / there / "heatmap.dcm", begun / here / "heatmap.dcm")
    assert batch_of(script, cohort, tiny_run, begun) == 1
    assert "The map does not lie on its slice" in capfd.readouterr().err
    assert not bundle_of(begun, here).exists()


def test_failed_cases_get_no_scene_and_the_others_do(
    script: Script, cohort: Cohort, tiny_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = (cohort.table, "--model", tiny_run, "--out", out, "--mrb")
    assert script("her2", "batch", *words) == 1
    assert {path.stem for path in bundles(out)} == set(keys(out).values())
    assert len(bundles(out)) == 3


def test_a_case_that_hangs_is_given_up_and_the_others_go_on(
    slicer_app: Harness,
    cohort: Cohort,
    tiny_run: Path,
    begun: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The first child process never answers, as one that waits for a network folder."""
    from breastpredict.worker import client

    answering, hung = client.worker_command(), tmp_path / "hung"
    program = (
        "import os, pathlib, sys, time\n"
        f"hung = pathlib.Path({str(hung)!r})\n"
        "if not hung.exists():\n"
        "    hung.touch()\n"
        "    time.sleep(1000)\n"
        f"os.execv({answering[0]!r}, {answering!r})\n"
    )
    monkeypatch.setattr(client, "worker_command", lambda: [sys.executable, "-c", program])
    slicer_app.load(REPOSITORY / MODULES["her2"])
    from BreastPredictLib.review_scenes import write_scenes

    words = words_of(cohort, tiny_run, begun, "--timeout", "6")
    capfd.readouterr()
    assert write_scenes("her2", words) == 1
    (line,) = said(capfd)
    assert line.endswith("reading took more than 6 s")
    assert hung.exists() and len(bundles(begun)) == 2
    assert leftovers(begun) == []


def test_a_writer_that_fails_half_way_leaves_no_bundle(
    script: Script,
    slicer_app: Harness,
    cohort: Cohort,
    tiny_run: Path,
    begun: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The operating system refuses files above some size, as a full disk or a quota does."""
    import slicer

    scenes = scenes_of(script)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    capfd.readouterr()
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, before[1]))
    try:
        code = scenes.write_scenes("her2", words_of(cohort, tiny_run, begun))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1
    # ITK, below Slicer's writer, says what it met as well.
    lines = [line for line in said(capfd) if line.startswith("breastpredict")]
    assert len(lines) == 3 and all("no scene of case" in line for line in lines)
    assert not any("internal" in line for line in lines)
    assert bundles(begun) == [] and leftovers(begun) == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
    cache = slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()
    assert Path(cache).parent == slicer_app.state.home and not list(Path(cache).glob("_tmp*"))
    # With room again, all is made.
    assert scenes.write_scenes("her2", words_of(cohort, tiny_run, begun)) == 0
    assert len(bundles(begun)) == 3


@pytest.mark.parametrize("trouble", ["No space left on device", "The results folder is gone"])
def test_a_disk_that_is_full_or_gone_ends_the_scenes_in_one_line_and_what_is_made_stays(
    script: Script,
    cohort: Cohort,
    tiny_run: Path,
    begun: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    trouble: str,
) -> None:
    scenes = scenes_of(script)
    write, moved = scenes.save_bundle, begun.with_name("moved")
    usage = shutil.disk_usage(begun)._replace(free=0)

    def second_fails(file: Path) -> None:
        if not bundles(begun):
            write(file)
            return
        if "gone" in trouble:
            begun.rename(moved)
        else:
            monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        raise scenes.BundleError("Slicer could not write the scene")  # it does not say why

    monkeypatch.setattr(scenes, "save_bundle", second_fails)
    capfd.readouterr()
    assert batch_of(script, cohort, tiny_run, begun) == 2
    (line,) = said(capfd)
    assert trouble in line
    assert len(bundles(moved if "gone" in trouble else begun)) == 1


def test_what_a_killed_run_left_is_cleared_and_its_bundles_are_taken(
    script: Script, cohort: Cohort, tiny_run: Path, begun: Path
) -> None:
    assert batch_of(script, cohort, tiny_run, begun) == 0
    kept, lost, _ = bundles(begun)
    written = kept.stat().st_mtime_ns
    left = begun / ".staging-killed"
    (left / "_tmp2026" / lost.stem).mkdir(parents=True)
    (left / lost.name).write_bytes(lost.read_bytes()[:1000])
    lost.unlink()
    assert batch_of(script, cohort, tiny_run, begun) == 0
    assert leftovers(begun) == [] and kept.stat().st_mtime_ns == written
    with zipfile.ZipFile(lost) as bundle:
        assert bundle.testzip() is None


def test_a_bundle_is_not_written_through_a_link_out_of_the_results(
    script: Script, cohort: Cohort, tiny_run: Path, begun: Path, tmp_path: Path
) -> None:
    key = keys(begun)[f"{SECRET_ID}-axial"]
    elsewhere = (begun / key).rename(tmp_path / "elsewhere")
    (begun / key).symlink_to(elsewhere)
    assert scenes_of(script).write_scenes("her2", words_of(cohort, tiny_run, begun)) == 1
    assert not list(elsewhere.glob("*.mrb")) and len(bundles(begun)) == 2


def test_views_are_made_where_no_window_has_any(slicer_app: Harness, tmp_path: Path) -> None:
    import slicer

    slicer_app.load(REPOSITORY / MODULES["her2"])
    from BreastPredictLib.bundles import save_bundle
    from BreastPredictLib.scene_views import show_when_opened

    running, alone = slicer.mrmlScene, slicer.vtkMRMLScene()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(alone, True)
    slicer.mrmlScene = alone
    try:
        image = slicer.util.addVolumeFromArray(np.arange(720.0).reshape(9, 8, 10), name="image")
        show_when_opened("Green", image, None, 0.6, at=(3.0, 4.0, 5.0), orientation="Axial")
        save_bundle(tmp_path / "alone.mrb")
    finally:
        slicer.mrmlScene = running
    nodes = opened(slicer_app, tmp_path / "alone.mrb")
    view = slicer_app.view("Green")
    assert view.composite.GetBackgroundVolumeID() == nodes["ScalarVolume"][0].GetID()
    assert view.node.GetOrientation() == "Axial" and view.node.GetSliceOffset() == 5.0


@pytest.mark.parametrize("place", PLACES)
def test_a_parametric_map_is_read_back_where_dcmqi_reads_it(place: str, tmp_path: Path) -> None:
    volumes = dce(3, 1, SIZE, lesion=LESION, **GEOMETRIES[place])
    write_dce(tmp_path / "study", volumes, layout="siemens", times_s=TIMES[:3])
    phase = only(read_study(tmp_path / "study")).phases[1]
    values = np.random.default_rng(3).random((3, SIZE[1], SIZE[0]), np.float32)
    slab = phase.geometry.slab(4, 7).to_image(values)
    path = tmp_path / "map.dcm"
    write_parametric_map(slab, phase, path, quantity="attention", provenance=PROVENANCE)
    ours, theirs = read_parametric_map(path), read_map(path, tmp_path / "read")
    assert Geometry.from_image(ours).same_grid(Geometry.from_image(slab))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), values)
    again = sitk.Resample(theirs, ours, sitk.Transform(), sitk.sitkNearestNeighbor, -1.0)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), values)


def test_what_is_no_parametric_map_is_refused_in_words(finished: Path, tmp_path: Path) -> None:
    folder = finished / next(iter(keys(finished).values()))
    with pytest.raises(InputError, match="no Parametric Map"):
        read_parametric_map(folder / "segmentation.dcm")
    (tmp_path / "cut.dcm").write_bytes((folder / "heatmap.dcm").read_bytes()[:-200])
    with pytest.raises(InputError, match="cannot be read"):
        read_parametric_map(tmp_path / "cut.dcm")
    with pytest.raises(InputError, match="cannot be read"):
        read_parametric_map(tmp_path / "none.dcm")


def test_while_another_run_writes_there_no_scene_is_made(
    script: Script, cohort: Cohort, tiny_run: Path, begun: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from breastpredict.study.lock import FolderLock

    with FolderLock(begun, "batch"):
        assert batch_of(script, cohort, tiny_run, begun) == 2
    assert bundles(begun) == []
    (line,) = said(capfd)
    assert line.startswith("breastpredict: error: ")


def test_the_scene_holds_one_case_at_a_time_and_none_at_the_end(
    script: Script,
    slicer_app: Harness,
    cohort: Cohort,
    tiny_run: Path,
    begun: Path,
) -> None:
    import slicer

    most = 0

    def count(caller: Any, event: Any) -> None:
        nonlocal most
        most = max(most, slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode"))

    tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, count)
    try:
        assert batch_of(script, cohort, tiny_run, begun) == 0
    finally:
        slicer.mrmlScene.RemoveObserver(tag)
    assert most == 2  # the phase and its map
    for kind in ("Volume", "Segmentation", "Markups", "Table", "Text", "PlotChart"):
        assert slicer.mrmlScene.GetNumberOfNodesByClass(f"vtkMRML{kind}Node") == 0


def test_ultrasounds_biopsy_squares_and_maps_lie_where_their_files_say(
    script: Script, slicer_app: Harness, phantom_list: PhantomList, tmp_path: Path
) -> None:
    import slicer

    from breastpredict.pcr import case_of

    out = tmp_path / "out"
    words = (phantom_list.table, "--model", phantom_list.run, "--out", out, "--mrb")
    assert script("pcr", "batch", *words) == 0
    assert len(bundles(out)) == len(phantom_list.patients) == 3
    seen = set()
    for patient in phantom_list.patients:
        case = case_of(patient)
        key = keys(out)[case.patient_id]
        bundle = bundle_of(out, key)
        text = texts_of(bundle)
        assert case.patient_id not in text and str(tmp_path) not in text
        assert str(phantom_list.table.parent) not in text
        nodes = opened(slicer_app, bundle)
        note = named(nodes["Text"], "Research use only").GetText()
        assert "esearch use only" in note and key in note
        result = json.loads((out / key / "result.json").read_text("utf-8"))
        for time_, title in (("us0", "US-0"), ("us1", "US-1")):
            source = getattr(case, time_)
            if source is None:
                continue
            seen.add(time_)
            image = source.read()
            assert image.header is None or str(image.header.SOPInstanceUID) not in text
            node = named(nodes["ScalarVolume"], f"{title} (B-mode)")
            columns, rows = image.pixels.shape[::-1]
            across, down = image.spacing_mm or (1.0, 1.0)
            inside = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
            in_file = image.to_source(inside.astype(float))
            lps = np.c_[in_file * [across, down], np.zeros(len(in_file))]
            np.testing.assert_array_equal(at(node, lps), image.pixels.ravel())
            for method in ("Grad-CAM", "Occlusion"):
                name = f"{method} on {title}"
                heat = named(nodes["ScalarVolume"], name)
                file = out / key / "maps" / f"{time_}_{heat.GetAttribute(METHOD)}.nrrd"
                written = sitk.ReadImage(str(file))
                np.testing.assert_array_equal(
                    at(heat, points_of(written)), sitk.GetArrayFromImage(written).ravel()
                )
            x0, y0, x1, y1 = result["ultrasound"][time_]["box"]
            square = named(nodes["MarkupsROI"], f"Square on {title}")
            centre = [0.0] * 3
            square.GetCenterWorld(centre)
            middle = np.array([(x0 + x1) / 2 * across, (y0 + y1) / 2 * down, 0.0]) * FLIP
            np.testing.assert_allclose(centre, middle, atol=1e-3)
            sides = [(x1 - x0) * across, (y1 - y0) * down]
            np.testing.assert_allclose(square.GetSize()[:2], sides, atol=1e-3)
            ys, xs = np.nonzero(sitk.GetArrayFromImage(written)[0])
            assert x0 - 0.5 <= xs.min() and xs.max() <= x1 + 0.5
            assert y0 - 0.5 <= ys.min() and ys.max() <= y1 + 0.5
        if case.pathology is not None:
            seen.add("pathology")
            (overview,) = nodes["VectorVolume"]
            assert slicer.util.arrayFromVolume(overview).shape[-1] == 3
            size = [int(n) for n in overview.GetAttribute("BreastPredict.Size").split(",")]
            mpp = overview.GetAttribute("BreastPredict.MicronsPerPixel").split(",")
            bounds = [0.0] * 6
            overview.GetRASBounds(bounds)
            wide = (bounds[1] - bounds[0]) * 1000 / float(mpp[0])
            assert wide == pytest.approx(size[0], rel=1e-3)
            assert named(nodes["MarkupsROI"], "Region of the biopsy")
        table = named(nodes["Table"], "pCR prediction").GetTable()
        with open(out / "predictions.csv", encoding="utf-8", newline="") as file:
            row = next(row for row in csv.DictReader(file) if row["case_key"] == key)
        assert table.GetValue(0, 1).ToDouble() == pytest.approx(float(row["p_pcr"]), abs=1e-6)
    assert seen == {"us0", "us1", "pathology"}


METHOD = "BreastPredict.MapMethod"


@pytest.mark.parametrize("system", ["her2", "pcr"])
def test_outside_of_slicer_the_option_is_refused_before_any_work(
    system: str, tmp_path: Path
) -> None:
    words = ["batch", "none.csv", "--model", "m", "--out", str(tmp_path / "out"), "--mrb"]
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / SCRIPTS[system]), *words],
        capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == "breastpredict: error: --mrb needs 3D Slicer: run this script with Slicer"
    assert list(tmp_path.iterdir()) == []


def test_one_case_alone_gets_no_scene(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert script("her2", "predict", "study", "--model", "m", "--out", tmp_path / "o", "--mrb") == 2
    assert "--mrb is an option of 'batch' only" in capfd.readouterr().err
    assert not (tmp_path / "o").exists()


APPLICATION = """
import json, runpy, sys
from pathlib import Path
sys.path[:0] = [{testing!r}, {tests!r}]
from harness import Harness
app = Harness(Path({home!r}))
import slicer.util
ended = []
slicer.util.exit = ended.append

def run(*words):
    sys.argv = [{script!r}, "--", *words]
    runpy.run_path({script!r}, run_name="__main__")

for words in {runs!r}:
    run(*words)
import breastpredict.cli
def broken(argv):
    raise RuntimeError("boom")
breastpredict.cli.main = broken
run("batch")
print("Slicer ended with", ended)
"""


def test_the_script_ends_the_application_with_0_1_2_or_1_and_scenes_are_there(
    cohort: Cohort, tiny_run: Path, tmp_path: Path
) -> None:
    """All done, some cases failed, wrong usage, an exception: in one running application."""
    out = tmp_path / "out"
    given = ["batch", cohort.table, "--model", tiny_run, "--out", out, "--mrb", "--workers", "1"]
    runs = [[*given, "--cohort", "SITE"], given, ["batch", "--mrb", "--no-such-option"]]
    program = APPLICATION.format(
        testing=str(REPOSITORY / "Testing"),
        tests=str(REPOSITORY / "Testing" / "Python"),
        home=str(tmp_path / "home"),
        script=str(REPOSITORY / SCRIPTS["her2"]),
        runs=[[str(word) for word in words] for words in runs],
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=300, check=False,
    )  # fmt: skip
    assert "Slicer ended with [0, 1, 2, 1]" in done.stdout, done.stderr
    assert {path.stem for path in bundles(out)} == set(keys(out).values())
    assert len(bundles(out)) == 3 and leftovers(out) == []
    assert done.stderr.count("scenes: 3/3 done") == 2
    assert "RuntimeError: boom" in done.stderr and SECRET_ID not in done.stderr
