"""``breastpredict her2 evaluate``: the report, as it is written and as a browser shows it."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from browser import below_whole_banners, browse, figure_faults, page_faults
from cli_runs import command
from dce_volumes import files_below, only
from evaluation_cohorts import LARGE, SMALL, Cohort, Site, make_evaluation_cohort
from PIL import Image

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.dicom import read_study
from breastpredict.phantom import make_her2_phantom
from breastpredict.study import Results

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Report:
    """A report that was made, and what it was made of."""

    cohort: Cohort
    folder: Path

    @property
    def page(self) -> str:
        return (self.folder / "index.html").read_text("utf-8")

    @property
    def numbers(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "evaluation.json").read_text("utf-8"))
        return content

    def table(self, name: str) -> list[dict[str, str]]:
        with open(self.folder / "tables" / name, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def report_of(cohort: Cohort, *words: str) -> Report:
    from breastpredict.cli import main

    folder = cohort.table.parent / "report"
    given = ["her2", "evaluate", cohort.table, "--predictions", cohort.predictions]
    assert main([*map(str, given), "--out", str(folder), "--quiet", *words]) == 0
    return Report(cohort, folder)


LOST = {"refused": 3, "failed": 2, "missing": 1, "indeterminate": 2}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of 30 patients, 22 of whom have a class and a prediction."""
    return report_of(make_evaluation_cohort(tmp_path_factory.mktemp("small"), SMALL, lost=LOST))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of 3000 in six cohorts."""
    folder = tmp_path_factory.mktemp("large")
    return report_of(make_evaluation_cohort(folder, LARGE, results=300, lost=LOST))


@pytest.fixture(params=["small", "large"])
def either(request: pytest.FixtureRequest) -> Report:
    found: Report = request.getfixturevalue(request.param)
    return found


# --- The folder ---


def test_every_figure_is_there_twice_and_has_its_numbers_beside_it(either: Report) -> None:
    drawn = {path.stem for path in (either.folder / "figures").glob("*.svg")}
    flows = {name for name in drawn if name.startswith("flow")}
    assert {path.stem for path in (either.folder / "figures").glob("*.png")} == drawn - flows
    tables = {path.stem for path in (either.folder / "tables").glob("*.csv")}
    kinds = ("roc", "confusion", "scores", "calibration", "decision")
    tasks = ("her2_zero_vs_rest", "her2_low_vs_positive")
    wanted = {f"{kind}_{task}" for kind in kinds for task in tasks}
    assert wanted | {"three_class"} | {f"subgroups_{task}" for task in tasks} == drawn - flows
    assert wanted | {"metrics", "flow", "subgroups", "three_class"} <= tables
    for name in re.findall(r"<code>tables/([a-z0-9_]+)\.csv</code>", either.page):
        assert name in tables
    assert not list(either.folder.parent.glob(".part-*"))


def test_the_page_holds_everything_in_itself(either: Report) -> None:
    page = either.page
    assert RESEARCH_USE_ONLY in page and SYNTHETIC_WARNING in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(re.match(r"data:image/(svg\+xml|png);base64,|#", s) for s in sources)
    assert "<script" not in page and "http" not in page
    anchors = {s[1:] for s in sources if s.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]*)"', page))


def test_no_patient_is_named_anywhere(either: Report) -> None:
    for path in files_below(either.folder):
        assert "MRN-" not in path.read_bytes().decode("utf-8", "replace"), path.name


def test_the_page_says_the_numbers_of_the_tables(either: Report) -> None:
    page = either.page
    rows = [r for r in either.table("metrics.csv") if r["metric"] == "auc" and r["value"]]
    assert len(rows) >= 6
    for row in rows:
        assert f">{float(row['value']):.3f}<" in page
        assert f"{float(row['low']):.3f}–{float(row['high']):.3f}" in page
    tasks = either.numbers["tasks"]
    found = {
        (task["task"]["name"], cohort["cohort"], marker["marker"]): marker["auc"]["value"]
        for task in tasks
        for cohort in (*task["cohorts"], *task["training"])
        for marker in cohort["markers"]
        if marker["auc"] is not None
    }
    assert found == {(r["task"], r["cohort"], r["marker"]): float(r["value"]) for r in rows}


def test_nobody_is_dropped_silently(either: Report) -> None:
    flow = either.table("flow.csv")
    for row in flow:
        parts = ("indeterminate", "refused", "failed", "not_predicted", "training", "evaluated")
        assert sum(int(row[name]) for name in parts) == int(row["patients"])
    assert sum(int(row["patients"]) for row in flow) == len(either.cohort.rows)
    assert {name: int(flow[-1][name]) for name in ("refused", "failed", "not_predicted")} == {
        "refused": 3, "failed": 2, "not_predicted": 1,
    }  # fmt: skip
    lost = either.table("not_evaluated.csv")
    assert sorted(row["kind"] for row in lost) == sorted(
        ["refused"] * 3 + ["failed"] * 2 + ["not predicted"]
    )
    assert "trained on 0.50 to 1.20 mm" in either.page and "The series has no phase […]" in (
        either.page
    )


def test_small_samples_are_warned_of_and_large_ones_are_not(small: Report, large: Report) -> None:
    assert "the interval is unreliable" in small.page
    assert "the interval is unreliable" not in large.page


def test_an_awkward_cohort_name_is_text_and_nothing_else(large: Report) -> None:
    assert "SITE-F &lt;b&gt;&amp;amp;&lt;/b&gt; $x_1$" in large.page
    assert "<b>" not in large.page


def test_the_same_command_gives_the_same_files_again(tmp_path: Path) -> None:
    cohort = make_evaluation_cohort(tmp_path, [Site("SITE-B", 12)], results=0)
    first = report_of(cohort)
    before = {p: p.read_bytes() for p in files_below(first.folder) if p.name != "index.html"}
    dated = re.compile(r"\d{4}-\d\d-\d\dT[\d:+-]+")
    page = dated.sub("", first.page)
    again = report_of(cohort)
    assert dated.sub("", again.page) == page
    assert {p: p.read_bytes() for p in files_below(again.folder) if p.name != "index.html"} == (
        before
    )


# --- In a browser ---


@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_overflows_and_every_picture_loads(
    either: Report, width: int, chromium: str, tmp_path: Path
) -> None:
    assert page_faults(chromium, tmp_path, either.page, width) == []


def test_no_label_of_a_figure_is_clipped_or_lies_on_another(
    either: Report, chromium: str, tmp_path: Path
) -> None:
    assert figure_faults(chromium, tmp_path, either.folder / "figures") == []


def test_the_warnings_stand_on_top_and_the_figures_are_seen(
    either: Report, chromium: str, tmp_path: Path
) -> None:
    png = tmp_path / "page.png"
    browse(chromium, tmp_path, either.folder / "index.html", "--window-size=1280,3600",
           f"--screenshot={png}")  # fmt: skip
    body = below_whole_banners(np.asarray(Image.open(png).convert("RGB"))).astype(int)
    model = (np.abs(body - (0, 114, 178)).max(axis=2) < 30).sum()
    clinical = (np.abs(body - (213, 94, 0)).max(axis=2) < 30).sum()
    assert model > 2000 and clinical > 500


# --- Real predictions ---


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory, tiny_run: Path) -> Cohort:
    """Six phantoms for networks that have learnt nothing; one has no mask, one hardly a tumour."""
    from breastpredict.cli import main

    folder = tmp_path_factory.mktemp("phantoms")
    table = make_her2_phantom(folder / "cohort", {"SITE-A": 3, "SITE-B": 3}, seed=4, workers=1)
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["split"] = "external"
    rows[-1]["segmentation"] = ""
    phase = only(read_study(table.parent / rows[-2]["study"])).phases[0]
    mask = sitk.GetArrayFromImage(phase.geometry.to_image(np.zeros(phase.geometry.size[::-1])))
    mask[9, mask.shape[1] // 2, mask.shape[2] // 2] = 1
    path = table.parent / "speck.nrrd"
    sitk.WriteImage(phase.geometry.to_image(mask.astype(np.uint8)), str(path))
    rows[-2]["segmentation"] = path.name
    with open(table, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    given = ["her2", "batch", table, "--model", tiny_run, "--out", folder / "OUT", "--quiet"]
    assert main(list(map(str, given))) == 1
    return Cohort(table, folder / "OUT", rows, [], [])


def test_chosen_and_random_cases_are_shown_with_their_pictures_and_scores(
    phantoms: Cohort, tiny_run: Path, tmp_path: Path, capfd: Capture
) -> None:
    rows = Results(phantoms.predictions).predictions()
    before = {p: p.stat().st_mtime_ns for p in files_below(phantoms.predictions)}
    chosen = rows[2]
    ended = command(
        capfd, "her2", "evaluate", phantoms.table, "--predictions", phantoms.predictions,
        "--model", tiny_run, "--out", tmp_path / "report", "--case", chosen["patient_id"],
        "--random-cases", "2", "--quiet",
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.strip() == str((tmp_path / "report" / "index.html").resolve())
    page = (tmp_path / "report" / "index.html").read_text("utf-8")
    shown = page.split('<div class="case">')[1:]
    *shown, of_refused = shown
    assert of_refused.count("data:image/png;base64,") >= 2 and "Scores" not in of_refused
    assert len(shown) in (2, 3)  # the chosen one may be drawn as well, and is shown once
    assert f"{chosen['case_key']} (chosen)" in shown[0]
    scores = f"{float(chosen['task1_score']):.3f} / {float(chosen['task2_score']):.3f}"
    assert scores in shown[0]
    for text in shown:
        assert text.count("data:image/png;base64,") == 3  # slice, region, map
    assert "class-agnostic" in page
    lost = page.split('id="lost"')[1]
    assert "has no segmentation" in lost
    (refused,) = [row for row in Results(phantoms.predictions).failures() if "gate" in row["stage"]]
    assert refused["reason"] in lost and f"{refused['case_key']}: {refused['stage']}" in lost
    for row in rows:
        assert row["patient_id"] not in page
    assert "a score and no probability" in page  # the tiny run is not calibrated
    assert "without its split.csv" in page
    assert {p: p.stat().st_mtime_ns for p in files_below(phantoms.predictions)} == before


def test_identifiers_stand_in_the_report_only_when_asked_for(tmp_path: Path) -> None:
    cohort = make_evaluation_cohort(tmp_path, [Site("SITE-B", 12)])
    report = report_of(cohort, "--identifiers", "--case", "MRN-00003", "--random-cases", "0")
    assert "MRN-00003 (chosen)" in report.page and "MRN-00004" not in report.page
    named = {row["case"] for row in report.table("scores_her2_zero_vs_rest.csv")}
    assert named == {row["patient_id"] for row in cohort.rows}


# --- What is refused ---


def test_matplotlib_and_torch_wait_until_something_is_drawn() -> None:
    check = (
        "import sys, breastpredict.study.evaluation; "
        "print(sorted({'torch', 'monai', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--case", "nobody"), "'nobody' is no predicted patient"),
        (("--clinical", "ihc"), "is a label, an outcome or a name"),
        (("--random-cases", "-1"), "--random-cases must lie between"),
        (("--model", "nowhere"), "nowhere"),
        (("--predictions", "nowhere"), "holds no predictions"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_no_report(
    small: Report, tmp_path: Path, capfd: Capture, words: tuple[str, ...], says: str
) -> None:
    cohort = small.cohort
    ended = command(capfd, "her2", "evaluate", cohort.table, "--predictions", cohort.predictions,
                    "--out", tmp_path / "report", "--quiet", *words)  # fmt: skip
    assert ended.code == 2 and says in ended.line
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_else_is_never_replaced(
    small: Report, tmp_path: Path, capfd: Capture
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, small.cohort.predictions):
        before = files_below(out)
        ended = command(capfd, "her2", "evaluate", small.cohort.table, "--predictions",
                        small.cohort.predictions, "--out", out, "--quiet")  # fmt: skip
        assert ended.code == 2 and "holds no earlier report" in ended.line
        assert files_below(out) == before


def test_a_disk_that_fills_up_leaves_the_old_report_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    cohort = make_evaluation_cohort(tmp_path, [Site("SITE-B", 12)], results=0)
    report = report_of(cohort)
    before = {p: p.read_bytes() for p in files_below(report.folder)}
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "three_class.png":
            raise OSError(28, "No space left on device", str(path))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    ended = command(capfd, "her2", "evaluate", cohort.table, "--predictions", cohort.predictions,
                    "--out", report.folder, "--quiet")  # fmt: skip
    assert ended.code == 2 and "No space left" in ended.line
    assert {p: p.read_bytes() for p in files_below(report.folder)} == before
