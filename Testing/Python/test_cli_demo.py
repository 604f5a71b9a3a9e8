"""``breastpredict demo``; what ``phantom her2`` and ``inspect --json`` promise (design §3)."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pydicom
import pytest
from browser import below_whole_banners, browse
from cli_runs import command
from dce_volumes import files_below
from PIL import Image

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.cli import main
from breastpredict.phantom import make_her2_phantom
from breastpredict.study import Results, read_cohort

Capture = pytest.CaptureFixture[str]
CASES = 60
"""The fewest the demonstration takes."""
CLASSES = ("zero", "low", "positive")


@dataclass(frozen=True)
class Demo:
    """A demonstration that was run."""

    folder: Path
    code: int
    out: str
    err: str

    @property
    def page(self) -> str:
        """index.html as it is written."""
        return (self.folder / "index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Demo:
    """Run once; two epochs are enough for a page, not for a result."""
    folder = tmp_path_factory.mktemp("demonstration") / "demo"
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(["demo", "--cases", str(CASES), "--epochs", "2", "--out", str(folder)])
    return Demo(folder, code, out.getvalue(), err.getvalue())


class Reader(HTMLParser):
    """The links, pictures, tables and words of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.tables: list[list[list[str]]] = []
        self._cell = False
        self._hidden = False
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._hidden = tag == "style"
        if tag == "a":
            self.links.append(str(found["href"]))
        elif tag == "img":
            self.pictures.append(found)
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        self.words += data
        if self._cell:
            self.tables[-1][-1][-1] += data


# --- The demonstration ---


def test_it_ends_well_and_prints_where_the_page_is(demo: Demo) -> None:
    assert demo.code == 0
    assert demo.out.strip() == str((demo.folder / "index.html").resolve())
    assert not list(demo.folder.rglob(".part-*"))


def test_progress_is_shown_throughout_without_any_patient(demo: Demo) -> None:
    lines = demo.err.splitlines()
    assert lines[0] == f"{RESEARCH_USE_ONLY} {SYNTHETIC_WARNING}"
    for stage in ("phantom: 60/60", "weights:", "read: 42/42", "her2_zero_vs_rest: 2/2",
                  "her2_low_vs_positive: 2/2", "predict: 18/18", "evaluate: 4/4"):  # fmt: skip
        assert any(line.startswith(stage) for line in lines), stage
    assert "PHANTOM-" not in demo.err and "PHANTOM-" not in demo.page


def test_every_link_and_picture_of_the_page_is_there(demo: Demo) -> None:
    reader = Reader(demo.page)
    reports = [link for link in reader.links if link.endswith("report.html")]
    assert len(set(reports)) == 18 and "cohort/COHORT.csv" in reader.links
    for link in reader.links:
        assert not re.match(r"[a-z]+:|/", link)  # the folder can be moved or sent
        target = demo.folder / unquote(link)
        assert target.is_file() and demo.folder in target.resolve().parents
    for link in reports:
        beside = {path.name for path in (demo.folder / link).parent.iterdir()}
        assert {"segmentation.dcm", "report.dcm", "heatmap.dcm", "capture.dcm"} <= beside
    assert len(reader.pictures) == 12
    for picture in reader.pictures:
        assert str(picture["src"]).startswith("data:image/png;base64,") and picture["alt"]
    assert "<script" not in demo.page and "http" not in demo.page


def test_the_evaluation_counts_those_that_training_never_touched(demo: Demo) -> None:
    assert "evaluation/index.html" in Reader(demo.page).links
    content = json.loads((demo.folder / "evaluation" / "evaluation.json").read_text("utf-8"))
    sets = json.loads((demo.folder / "run" / "run.json").read_text())["split"]["patients"]
    seen = sets["train"] + sets["tuning"]
    assert sum(row["training"] for row in content["flow"]) == seen
    assert sum(row["evaluated"] for row in content["flow"]) == CASES - seen
    for task in content["tasks"]:
        names = [cohort["cohort"] for cohort in task["cohorts"]]
        assert names == ["SITE-A (held out)", "SITE-B", "SITE-C"]


def test_the_counts_add_up(demo: Demo) -> None:
    cases = read_cohort(demo.folder / "cohort" / "COHORT.csv")
    external = [case for case in cases if case.split == "external"]
    truth = {case.patient_id: case.her2 for case in external}
    rows = Results(demo.folder / "results").predictions()
    assert (len(cases), len(external), len(rows)) == (60, 18, 18)
    assert {row["patient_id"] for row in rows} == set(truth)
    reader = Reader(demo.page)
    areas, classes, listed, _times = reader.tables
    low_or_positive = sum(her2 != "zero" for her2 in truth.values())
    assert [row[1] for row in areas[1:]] == ["18", str(low_or_positive)]
    for row in areas[1:]:
        low, high = map(float, row[3].split(" to "))
        assert 0 <= low <= float(row[2]) <= high <= 1
    for actual, row in zip(CLASSES, classes[1:], strict=True):
        expected = [
            sum(truth[r["patient_id"]] == actual and r["predicted_class"] == said for r in rows)
            for said in CLASSES
        ]
        assert row == [actual, *map(str, expected)]
    assert sum(int(n) for row in classes[1:] for n in row[1:]) == 18
    assert {row[0] for row in listed[1:]} == {row["case_key"] for row in rows}
    for row in listed[1:]:
        assert abs(sum(map(float, row[4:])) - 1) < 0.002  # each rounded to 3 digits
    run = json.loads((demo.folder / "run" / "run.json").read_text())
    sets = run["split"]["patients"]
    assert sum(sets.values()) == 42
    words = " ".join(reader.words.split())
    assert "60 synthetic patients" in words and "the 42 patients of one site" in words
    assert f"{sets['train']} to fit, {sets['tuning']} to stop early" in words
    assert "The 18 patients of two other sites" in words


def test_the_warnings_stand_on_the_page_and_on_every_report(demo: Demo) -> None:
    pages = [demo.folder / "index.html", *demo.folder.glob("results/*/report.html")]
    assert len(pages) == 19
    for page in pages:
        words = Reader(page.read_text("utf-8")).words
        assert RESEARCH_USE_ONLY in words and SYNTHETIC_WARNING in words
    assert "say nothing about patients" in Reader(demo.page).words
    for task in ("her2_zero_vs_rest", "her2_low_vs_positive"):
        card = (demo.folder / "run" / task / "docs" / "README.md").read_text()
        assert RESEARCH_USE_ONLY in card and SYNTHETIC_WARNING in card


def test_the_page_says_how_to_go_on_with_commands_that_exist(demo: Demo, capfd: Capture) -> None:
    shown = re.findall(r"breastpredict ((?:her2 )?[a-z]+) [A-Z]", Reader(demo.page).words)
    assert shown == ["inspect", "her2 train", "her2 predict", "her2 batch", "her2 evaluate"]
    for words in shown:
        ended = command(capfd, *words.split(), "--help")
        assert ended.code == 0 and "usage:" in ended.out


def test_the_page_opens_in_a_browser(demo: Demo, chromium: str, tmp_path: Path) -> None:
    png = tmp_path / "page.png"
    browse(chromium, tmp_path, demo.folder / "index.html", "--window-size=1280,1600",
           f"--screenshot={png}")  # fmt: skip
    body = below_whole_banners(np.asarray(Image.open(png).convert("RGB"))).reshape(-1, 3)
    assert len(np.unique(body, axis=0)) > 1000  # the overlays' colours
    assert 0.2 < (body == (245, 246, 248)).all(axis=1).mean() < 0.9


def test_a_folder_that_is_not_empty_is_refused_and_kept(tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    ended = command(capfd, "demo", "--out", tmp_path)
    assert ended.code == 2 and "not empty" in ended.line and str(tmp_path) in ended.line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# --- phantom her2 ---

COLUMNS = (
    "patient_id cohort split study segmentation ihc ish os_months os_event rfs_months rfs_event"
).split()


def test_the_phantom_writes_a_full_cohort_of_three_sites(demo: Demo) -> None:
    table = demo.folder / "cohort" / "COHORT.csv"
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(COLUMNS) <= set(rows[0]) and len({row["patient_id"] for row in rows}) == 60
    splits = {(row["cohort"], row["split"]) for row in rows}
    assert splits == {("SITE-A", ""), ("SITE-B", "external"), ("SITE-C", "external")}
    assert {row["synthetic"] for row in rows} == {"1"}
    for row in rows:
        assert not Path(row["study"]).is_absolute()
        assert files_below(table.parent / row["study"])
        mask = pydicom.dcmread(table.parent / row["segmentation"], stop_before_pixels=True)
        assert mask.Modality == "SEG" and mask.PatientID == row["patient_id"]
    assert {case.her2 for case in read_cohort(table)} == set(CLASSES)


def test_the_phantom_command_prints_its_table_and_takes_a_seed(
    tmp_path: Path, capfd: Capture
) -> None:
    ended = command(
        capfd, "phantom", "her2", "--cases", "3", "--out", tmp_path / "a", "--seed", "4", "--quiet"
    )
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.strip() == str(tmp_path / "a" / "COHORT.csv")
    make_her2_phantom(tmp_path / "b", 3, seed=4, workers=1)
    first, second = (
        {str(path.relative_to(folder)): path.read_bytes() for path in files_below(folder)}
        for folder in (tmp_path / "a", tmp_path / "b")
    )
    assert first == second and len(first) > 100


# --- inspect --json ---


def test_inspect_json_has_the_keys_of_the_contract(demo: Demo, capfd: Capture) -> None:
    case = read_cohort(demo.folder / "cohort" / "COHORT.csv")[0]
    ended = command(capfd, "inspect", case.study, "--json")
    assert (ended.code, ended.err) == (0, "")
    (study,) = json.loads(ended.out)["studies"]
    assert {"study_uid", "modality", "dce", "ultrasound", "slides", "rejected"} <= set(study)
    assert study["modality"] == "MR" and study["ultrasound"] == study["slides"] == []
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in files_below(case.study)]
    assert {study["study_uid"]} == {str(header.StudyInstanceUID) for header in headers}
    (dce,) = study["dce"]
    assert {"laterality", "phases", "chosen", "reason"} <= set(dce)
    assert dce["laterality"] in ("R", "L") and dce["reason"]
    series = {str(header.SeriesInstanceUID) for header in headers}
    assert [phase["index"] for phase in dce["phases"]] == [1, 2, 3]
    assert dce["chosen"] in (2, 3)
    for phase in dce["phases"]:
        assert {"index", "time_s", "series_uid", "slices"} <= set(phase)
        assert phase["series_uid"] in series and phase["slices"] == 18
        assert phase["time_s"] is None or isinstance(phase["time_s"], float)
    for rejected in study["rejected"]:
        assert {"series_uid", "reason"} <= set(rejected)
    assert case.patient_id not in ended.out


def test_inspect_json_names_what_was_left_out(demo: Demo, capfd: Capture) -> None:
    """The whole cohort's masks: no study, no DCE, but series with a reason or segmentations."""
    ended = command(capfd, "inspect", demo.folder / "cohort" / "masks", "--json")
    assert ended.code == 0
    studies = json.loads(ended.out)["studies"]
    assert len(studies) == 60
    assert all(not study["dce"] and study["segmentations"] == 1 for study in studies)
