"""The child process of the Slicer modules, spoken to as they do."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import SimpleITK as sitk
from cli_runs import LESION, SECRET_ID, SECRET_NAME, make_cohort, make_mask, make_study, process

from breastpredict.dicom import read_study
from breastpredict.errors import BreastPredictError, GateRefusal, InputError
from breastpredict.her2 import prepare_case
from breastpredict.worker import WorkerClient
from breastpredict.worker.client import WorkerGone
from breastpredict.worker.server import serve


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("study") / "dicom")


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerClient]:
    client = WorkerClient([sys.executable, "-m", "breastpredict", "worker", "--die-with-parent"])
    yield client
    client.kill()


@pytest.fixture
def own_worker() -> Iterator[WorkerClient]:
    """One that the test may kill."""
    client = WorkerClient([sys.executable, "-m", "breastpredict", "worker", "--die-with-parent"])
    yield client
    client.kill()


def ask(worker: WorkerClient, command: str, **arguments: Any) -> dict[str, Any]:
    return worker.wait(worker.request(command, **arguments))


def test_it_tells_what_a_study_holds_and_whose_it_is(worker: WorkerClient, study: Path) -> None:
    found = ask(worker, "open", study=str(study))
    assert found["patient"]["PatientID"] == SECRET_ID
    assert found["patient"]["PatientName"] == SECRET_NAME
    [dce] = found["study"]["dce"]
    assert (len(dce["phases"]), dce["chosen"]) == (3, 2)


def test_phases_and_subtraction_are_the_backends_own_voxels(
    worker: WorkerClient, study: Path, tmp_path: Path
) -> None:
    where = str(tmp_path)
    found = ask(worker, "load", study=str(study), acquisition=1, phase=2, folder=where)
    [dce] = read_study(study).dce
    for name, index in (("pre", 1), ("chosen", 2)):
        phase = dce.phase(index)
        assert found[name]["phase"] == index
        image = sitk.ReadImage(found[name]["file"])
        np.testing.assert_array_equal(
            sitk.GetArrayViewFromImage(image), sitk.GetArrayFromImage(phase.read())
        )
        assert image.GetDirection() == pytest.approx(phase.geometry.direction)
        assert image.GetOrigin() == pytest.approx(phase.geometry.origin)
        assert found[name]["instance_uids"] == [i.sop_instance_uid for i in phase.instances]
    difference = sitk.GetArrayFromImage(sitk.ReadImage(found["subtraction"]["file"]))
    before, after = (sitk.GetArrayFromImage(dce.phase(n).read()) for n in (1, 2))
    np.testing.assert_array_equal(difference, after - before)


def test_of_the_first_phase_there_is_no_subtraction(
    worker: WorkerClient, study: Path, tmp_path: Path
) -> None:
    asked = {"study": str(study), "acquisition": 1, "phase": 1, "folder": str(tmp_path)}
    found = ask(worker, "load", **asked)
    assert found["pre"] is None and found["subtraction"] is None


@pytest.mark.parametrize("by", ["point", "box"])
def test_it_delineates_what_the_command_line_does(
    worker: WorkerClient, study: Path, tmp_path: Path, by: str
) -> None:
    geometry = read_study(study).dce[0].phases[0].geometry
    corners = [[part.start for part in LESION[::-1]], [part.stop - 1 for part in LESION[::-1]]]
    centre = np.mean(corners, axis=0)
    point = geometry.index_to_physical(centre).tolist()
    box = [geometry.index_to_physical(np.array(c, float)).tolist() for c in corners]
    where = {"point": point} if by == "point" else {"box": box}
    asked = {"study": str(study), "acquisition": 1, "phase": 2, "file": str(tmp_path / "m.nrrd")}
    found = ask(worker, "delineate", **asked, **where)
    given = {"seed_point_lps": tuple(point)} if by == "point" else {"box_lps": tuple(box)}
    direct = prepare_case(study, image_size=64, **given)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(found["file"]))
    np.testing.assert_array_equal(mask, sitk.GetArrayFromImage(direct.mask.to_image()))
    assert found["volume_mm3"] == pytest.approx(direct.features["tumour_volume_mm3"])


def test_a_prediction_equals_the_command_lines(
    worker: WorkerClient, study: Path, tiny_run: Path, tmp_path: Path
) -> None:
    mask = make_mask(tmp_path / "mask.nrrd", study)
    ended = process(
        "her2", "predict", study, "--model", tiny_run, "--segmentation", mask,
        "--out", tmp_path / "cli", "--json",
    )  # fmt: skip
    direct = json.loads(ended.out)
    progress: list[tuple[str, str]] = []
    number = worker.request(
        "predict",
        study=str(study),
        run=str(tiny_run),
        out=str(tmp_path / "out"),
        segmentation=str(mask),
        acquisition=1,
        phase=2,
        folder=str(tmp_path / "scratch"),
        device="cpu",
    )
    found = worker.wait(number, lambda e: progress.append((e["stage"], e["line"])))
    result = json.loads((Path(found["folder"]) / "result.json").read_text())
    for each in (direct, result):
        each.pop("date")
    assert result == direct
    assert ("case", "predicting") in progress
    map_slice = sitk.ReadImage(found["map"])
    assert map_slice.GetSize()[2] == 1
    names = {path.name for path in Path(found["folder"]).iterdir()}
    assert {"segmentation.dcm", "report.dcm", "heatmap.dcm", "capture.dcm"} <= names


def test_the_second_prediction_loads_no_model(
    own_worker: WorkerClient, study: Path, tiny_run: Path, tmp_path: Path
) -> None:
    mask = make_mask(tmp_path / "mask.nrrd", study)
    asked = {
        "study": str(study), "run": str(tiny_run), "out": str(tmp_path), "acquisition": 1,
        "segmentation": str(mask), "phase": 2, "folder": str(tmp_path), "device": "cpu",
    }  # fmt: skip
    times = []
    for _ in range(2):
        start = time.perf_counter()
        ask(own_worker, "predict", **asked)
        times.append(time.perf_counter() - start)
    assert times[1] < 0.5 * times[0]


def test_a_refusal_says_gate_and_reason(
    worker: WorkerClient, tiny_run: Path, tmp_path: Path
) -> None:
    study = make_study(tmp_path / "study", enhancing=False)
    mask = make_mask(tmp_path / "mask.nrrd", study, None)
    arguments = {"study": str(study), "acquisition": 1, "mask": str(mask)}
    with pytest.raises(GateRefusal, match="empty") as refused:
        ask(worker, "import_mask", **arguments, file=str(tmp_path / "out.nrrd"))
    assert refused.value.gate == "no-tumour"
    assert not (tmp_path / "out.nrrd").exists()


def test_a_changed_study_is_read_again(worker: WorkerClient, tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    assert len(ask(worker, "open", study=str(study))["study"]["dce"][0]["phases"]) == 3
    shutil.rmtree(study)
    make_study(study, phases=4, seed=1)
    again = ask(worker, "open", study=str(study))
    assert len(again["study"]["dce"][0]["phases"]) == 4


def test_a_bundle_is_described_without_torch(tiny_run: Path) -> None:
    code = (
        "import sys\n"
        "from breastpredict.her2 import describe_run\n"
        f"found = describe_run({str(tiny_run)!r})\n"
        "assert 'torch' not in sys.modules and 'timm' not in sys.modules\n"
        "print(found['synthetic'], [t['points_to'] for t in found['tasks']])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "True ['low_or_positive', 'low']"


@pytest.mark.parametrize(
    "line, said",
    [
        ("{nonsense", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"id": 1, "command": "fly"}', "There is no command 'fly'"),
        ('{"id": 1, "command": "add", "arguments": [1]}', "not a JSON object"),
        ('{"id": 1, "command": "add", "arguments": {"c": 1}}', "Wrong arguments for 'add'"),
    ],
)
def test_a_wrong_request_gets_one_clear_answer(line: str, said: str) -> None:
    out = io.StringIO()
    serve({"add": lambda *, progress, a, b: {"sum": a + b}}, [line, "", good()], out)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["event"], first["kind"]) == ("failed", "input")
    assert said in first["reason"]
    assert second == {"id": 7, "event": "done", "result": {"sum": 5}}


def good() -> str:
    return json.dumps({"id": 7, "command": "add", "arguments": {"a": 2, "b": 3}})


def test_a_defect_ends_the_request_and_not_the_process() -> None:
    def broken(*, progress: Any) -> dict[str, Any]:
        raise KeyError("x\ny")

    out = io.StringIO()
    serve({"broken": broken}, ['{"id": 1, "command": "broken"}'] * 2, out)
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [a["kind"] for a in answers] == ["internal", "internal"]
    assert "KeyError" in answers[0]["reason"] and "\n" not in answers[0]["reason"]


def test_what_libraries_print_stays_out_of_the_answers(tmp_path: Path) -> None:
    script = tmp_path / "noisy.py"
    script.write_text(
        "import os, sys\n"
        "from breastpredict.worker.server import run\n"
        "def noisy(*, progress):\n"
        "    print('from python'); os.write(1, b'from c++\\n'); return {}\n"
        "sys.exit(run({'noisy': noisy}, die_with_parent=False))\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script)],
        input='{"id": 1, "command": "noisy"}\n',
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ended.stdout) == {"id": 1, "event": "done", "result": {}}
    assert "from python" in ended.stderr and "from c++" in ended.stderr


def test_paths_are_those_of_the_asker_wherever_the_worker_was_started(
    worker: WorkerClient, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ask(worker, "open", study=str(study))["study"]
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "link").symlink_to(study)
        monkeypatch.chdir(folder)
        assert ask(worker, "open", study="link")["study"] == here
        (folder / "link").unlink()
        with pytest.raises(BreastPredictError, match="link"):
            ask(worker, "open", study="link")


def test_a_missing_study_is_the_backends_own_error(worker: WorkerClient, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="none") as error:
        ask(worker, "open", study=str(tmp_path / "none"))
    assert not isinstance(error.value, (WorkerGone, InputError))
    assert "\n" not in str(error.value)


def test_killing_it_ends_training_and_all_its_children(
    own_worker: WorkerClient, tmp_path: Path
) -> None:
    table = make_cohort(tmp_path, [f"P{n}" for n in range(3)])
    number = own_worker.request(
        "train",
        cohort=str(table),
        out=str(tmp_path / "run"),
        preset="reduced",
        weights="none",
        minimum_per_class=0,
    )
    while not own_worker.poll():
        assert own_worker.running
        time.sleep(0.01)
    assert own_worker.pid is not None
    whole = [psutil.Process(own_worker.pid)]
    whole += whole[0].children(recursive=True)
    own_worker.kill()
    assert not own_worker.running and not own_worker.busy
    _, alive = psutil.wait_procs(whole, timeout=5)
    assert not alive
    assert own_worker.poll() == []
    with pytest.raises(WorkerGone, match="cancelled"):
        own_worker.wait(number)
    assert ask(own_worker, "hello")["note"]  # and it starts again


def test_a_killed_process_is_told_of_every_open_request(own_worker: WorkerClient) -> None:
    ask(own_worker, "hello")
    assert own_worker.pid is not None
    os.kill(own_worker.pid, signal.SIGSTOP)
    number = own_worker.request("hello")
    os.kill(own_worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerGone, match=r"ended unexpectedly \(exit code -9\)"):
        own_worker.wait(number)
    assert not own_worker.busy


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os\n"
        "from breastpredict.worker import WorkerClient\n"
        "worker = WorkerClient()\n"
        "worker.wait(worker.request('hello'))\n"
        "print(worker.pid, flush=True)\n"
        "os._exit(1)\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    child = int(ended.stdout)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be started") as error:
        WorkerClient([str(tmp_path / "none")]).request("hello")
    assert str(tmp_path / "none") in str(error.value)
