"""The report of a reader study: readers whose errors are known, on phantoms, end to end."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from cli_runs import Ended, command
from reader_studies import Clock, Truth, grown, planned, read_session

from breastpredict.errors import InputError
from breastpredict.imaging import BoxedMask, overlap
from breastpredict.reader import Plan, import_readings, open_plan, read_all
from breastpredict.reader.report import report_study
from breastpredict.stats import icc

EMPTY, LAST = 2, 6
"""Numbers of cases: A sees no lesion in the one when reading again, B's second of the other is
lost."""


def by_a(mask: sitk.Image, number: int) -> sitk.Image:
    """True to the planted lesion."""
    return mask


def by_a_again(mask: sitk.Image, number: int) -> sitk.Image | None:
    """A voxel less in odd cases, nothing in one."""
    return None if number == EMPTY else grown(-(number % 2), mask)


def by_b(mask: sitk.Image, number: int) -> sitk.Image:
    """Always a voxel too large."""
    return grown(1, mask)


@pytest.fixture(scope="module")
def read(reader_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Truth]:
    """Six cases read by two readers twice; one reading is missing, one twice, one empty."""
    folder = tmp_path_factory.mktemp("study")
    plan = planned(reader_cohort, folder / "plan", cases=6, seed=1)
    truth = Truth(reader_cohort, folder / "plan-key.json")
    clock = Clock()
    read_session(plan, truth, "A", clock, by_a)
    read_session(plan, truth, "B", clock, by_b)
    clock.pass_(days=20)
    read_session(plan, truth, "A", clock, by_a_again)
    read_session(plan, truth, "B", clock, by_b)
    readings = read_all(plan).of("B", 2)
    shutil.rmtree(readings[plan.cases[LAST - 1]].path)
    again = plan.case(plan.cases[0])
    sitk.WriteImage(by_a(truth(again).to_image(), 1), str(folder / "again.nrrd"))
    (folder / "again.csv").write_text(
        "reader,session,case_key,mask,ended\n"
        f"B,2,{again.key},again.nrrd,{(clock.now + timedelta(days=1)).isoformat()}\n"
    )
    assert import_readings(plan, folder / "again.csv").duplicates == 1
    return plan, truth


@pytest.fixture(scope="module")
def report(
    read: tuple[Plan, Truth], tiny_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The report with a model's scores."""
    out = tmp_path_factory.mktemp("report") / "out"
    return report_study(read[0], out, run=tiny_run).parent


@pytest.fixture(scope="module")
def found(report: Path) -> dict[str, Any]:
    """Its numbers."""
    content: dict[str, Any] = json.loads((report / "reader_report.json").read_text("utf-8"))
    return content


def table(report: Path, name: str) -> list[dict[str, str]]:
    with open(report / "tables" / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def comparison(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["comparisons"] if one["name"] == name)


class TestCounts:
    def test_missing_double_and_empty_readings_are_counted(self, found: dict[str, Any]) -> None:
        counts = {(s["reader"], s["session"]): s for s in found["sessions"]}
        assert [counts[key]["missing"] for key in sorted(counts)] == [0, 0, 0, 1]
        assert [counts[key]["empty"] for key in sorted(counts)] == [0, 1, 0, 0]
        assert [counts[key]["duplicates"] for key in sorted(counts)] == [0, 0, 0, 1]
        assert found["warnings"][:3] == [
            "Planned readings that are missing: 1",
            "Readings of a case that was read in that session before, not counted: 1",
            "Readings without a lesion, which have no features: 1",
        ]

    def test_time_edits_and_wash_out_are_told(self, found: dict[str, Any]) -> None:
        counts = {(s["reader"], s["session"]): s for s in found["sessions"]}
        assert counts["A", 1]["edited"] == 0.0 and counts["B", 1]["edited"] > 0.1
        assert counts["A", 1]["days"] is None and counts["A", 2]["shortest_days"] >= 19.9
        assert all(counts[key]["overrides"] == 0 for key in counts)

    def test_every_comparison_is_there(self, found: dict[str, Any]) -> None:
        assert [one["name"] for one in found["comparisons"]] == [
            "Within reader A",
            "Within reader B",
            "Between readers, session 1",
            "Between readers, session 2",
        ]


class TestAgreement:
    def test_coefficients_are_those_of_the_table_of_features(
        self, report: Path, found: dict[str, Any]
    ) -> None:
        values = {
            (row["reader"], row["session"], row["case_key"]): float(row["shape_volume_mm3"])
            for row in table(report, "features.csv")
        }
        cases = sorted({case for _, _, case in values})
        ratings = [[values["A", "1", case], values["B", "1", case]] for case in cases]
        rows = comparison(found, "Between readers, session 1")["icc"]["shape_volume_mm3"]["rows"]
        for row in icc(ratings):
            assert [rows[row.name][k] for k in ("estimate", "low", "high")] == pytest.approx(
                [row.estimate, row.low, row.high]
            )

    def test_a_reader_who_always_draws_larger_is_consistent_and_does_not_agree(
        self, found: dict[str, Any]
    ) -> None:
        between = comparison(found, "Between readers, session 1")
        rows = between["icc"]["shape_diameter_mm"]["rows"]
        assert rows["ICC3"]["estimate"] > 0.95 > rows["ICC2"]["estimate"] + 0.1
        altman = between["pairs"][0]["bland_altman"]["shape_diameter_mm"]
        assert altman["bias"]["high"] < 0 and 2 < -altman["bias"]["value"] < 8

    def test_readings_that_are_the_same_agree_perfectly(self, found: dict[str, Any]) -> None:
        within = comparison(found, "Within reader B")
        assert within["pairs"][0]["overlap"]["dice"]["least"] == 1.0
        assert within["pairs"][0]["overlap"]["hausdorff95_mm"]["largest"] == 0.0
        volume = within["icc"]["shape_volume_mm3"]
        assert volume["verdict"] == "all readings equal"
        assert volume["rows"]["ICC2"]["estimate"] == 1.0 and volume["rows"]["ICC2"]["low"] is None
        assert within["pairs"][0]["class_changes"]["value"] == 0.0

    def test_cases_without_every_reading_are_left_out_and_counted(
        self, found: dict[str, Any]
    ) -> None:
        within_a = comparison(found, "Within reader A")
        volume = within_a["icc"]["shape_volume_mm3"]
        assert (volume["cases"], volume["left_out"]) == (5, 1)
        pair = within_a["pairs"][0]
        assert (pair["cases"], pair["missing"], pair["one_empty"]) == (6, 0, 1)
        assert pair["overlap"]["dice"]["least"] == 0.0 and pair["overlap"]["dice"]["n"] == 6
        assert pair["overlap"]["hausdorff95_mm"]["n"] == 5
        session_2 = comparison(found, "Between readers, session 2")
        assert session_2["icc"]["shape_volume_mm3"]["left_out"] == 2
        assert session_2["pairs"][0]["missing"] == 1

    def test_overlap_is_that_of_the_contours(self, read: tuple[Plan, Truth], report: Path) -> None:
        plan, truth = read
        rows = [r for r in table(report, "overlap.csv")
                if r["comparison"] == "Between readers, session 1"]  # fmt: skip
        assert [row["case_key"] for row in rows] == list(plan.cases)
        for row in rows:
            a = truth(plan.case(row["case_key"]))
            b = BoxedMask.of(grown(1, a.to_image()))
            expected = overlap(a, b, plan.tolerance_mm)
            assert float(row["dice"]) == pytest.approx(expected.dice)
            assert float(row["surface_dice"]) == pytest.approx(expected.surface_dice)
            assert float(row["hausdorff95_mm"]) == pytest.approx(expected.hausdorff95_mm)
            assert float(row["volume_2_mm3"]) == pytest.approx(b.volume_mm3)

    def test_the_model_answers_for_every_contour_and_changes_are_listed(
        self, report: Path, found: dict[str, Any]
    ) -> None:
        said = {
            (r["reader"], r["session"], r["case_key"]): r["predicted_class"]
            for r in table(report, "readings.csv")
            if r["empty"] == "0"
        }
        assert len(said) == 22 and set(said.values()) <= {"zero", "low", "positive"}
        changes = {
            (r["reader_1"], r["session_1"], r["reader_2"], r["session_2"], r["case_key"])
            for r in (
                table(report, "class_changes.csv")
                if (report / "tables/class_changes.csv").stat().st_size
                else []
            )
        }
        columns = [("A", "1"), ("A", "2"), ("B", "1"), ("B", "2")]
        pairs = [(0, 1), (2, 3), (0, 2), (1, 3)]
        expected = {
            (*columns[i], *columns[j], case)
            for i, j in pairs
            for case in {key[2] for key in said}
            if {(*columns[i], case), (*columns[j], case)} <= said.keys()
            and said[(*columns[i], case)] != said[(*columns[j], case)]
        }
        assert changes == expected
        between = comparison(found, "Between readers, session 1")
        assert between["embedding"]["numbers"] > 100 and not between["embedding"]["equal"]
        same = comparison(found, "Within reader B")["embedding"]  # drawn alike, to the voxel
        assert same["equal"] == same["good"] == same["excellent"] == 1
        assert "model_her2_zero_vs_rest_score" in between["icc"]
        assert found["weights_sha256"].keys() == {"her2_zero_vs_rest", "her2_low_vs_positive"}


class TestFolder:
    def test_page_figures_and_tables_are_there_and_say_what_they_are(self, report: Path) -> None:
        page = (report / "index.html").read_text("utf-8")
        assert "Research use only" in page and "Synthetic cases, no patients" in page
        assert all(f"ICC({form})" in page for form in ("1,1", "2,1", "3,1", "1,k", "2,k", "3,k"))
        assert page.count("data:image/svg+xml;base64,") == len(
            list((report / "figures").glob("*.svg"))
        )
        assert "http://" not in page and "https://" not in page and "<script" not in page
        for text in ("0.75", "0.9", "left out", "ICC(A,1)"):
            assert text in page
        for name in ("icc", "overlap", "bland_altman", "features", "readings", "sessions"):
            assert table(report, f"{name}.csv")

    def test_nothing_names_a_patient(self, read: tuple[Plan, Truth], report: Path) -> None:
        for path in report.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert b"PHANTOM-" not in data and b"Phantom^" not in data
                assert str(read[0].folder.parent).encode() not in data

    def test_a_report_is_replaced_and_nothing_else_is(
        self, read: tuple[Plan, Truth], tmp_path: Path
    ) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(InputError, match="holds no earlier report"):
            report_study(read[0], tmp_path)
        assert (tmp_path / "mine.txt").read_text() == "mine"


class TestAccidents:
    def test_a_study_that_has_just_begun_has_no_report(
        self, read: tuple[Plan, Truth], tmp_path: Path
    ) -> None:
        copy = tmp_path / "plan"
        shutil.copytree(read[0].folder, copy)
        for session in ("A/session-2", "B"):
            shutil.rmtree(copy / "readings" / session)
        with pytest.raises(InputError, match="not two sessions with readings"):
            report_study(open_plan(copy), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_few_readings_damage_and_an_override_are_said(
        self, read: tuple[Plan, Truth], tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A's second session cut to three cases; of these one is changed, one overrode."""
        copy = tmp_path / "plan"
        shutil.copytree(read[0].folder, copy)
        shutil.rmtree(copy / "readings/B")
        plan = open_plan(copy)
        order = [key for key in plan.sequence("A", 2) if plan.cases.index(key) + 1 != EMPTY]
        for key in {*plan.cases} - {*order[:3]}:
            shutil.rmtree(copy / "readings/A/session-2" / key)
        (copy / "readings/A/session-2" / order[0] / "mask.dcm").write_bytes(b"changed")
        record = copy / "readings/A/session-2" / order[1] / "reading.json"
        content = json.loads(record.read_text("utf-8"))
        content["washout_override"] = "<b>leaves & comes back</b>"
        record.write_text(json.dumps(content))
        ended: Ended = command(
            capfd, "reader", "report", copy, "--out", tmp_path / "out", "--quiet"
        )
        assert (ended.code, ended.err) == (0, "")
        page = (tmp_path / "out/index.html").read_text("utf-8")
        assert "&lt;b&gt;leaves &amp; comes back&lt;/b&gt;" in page and "<b>leaves" not in page
        assert "The contour of a reading was changed" in page
        found = json.loads((tmp_path / "out/reader_report.json").read_text("utf-8"))
        within = comparison(found, "Within reader A")
        assert within["pairs"][0]["cases"] == 2 and within["pairs"][0]["missing"] == 4
        assert within["icc"]["shape_volume_mm3"]["cases"] == 2
        assert within["pairs"][0]["bland_altman"] == {}
        nobody = comparison(found, "Between readers, session 1")
        assert nobody["pairs"][0]["cases"] == 0
        assert "agreement needs at least two" in nobody["icc"]["shape_volume_mm3"]["note"]

    def test_usage_errors_are_one_line(
        self, read: tuple[Plan, Truth], tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        for words in (
            ("report", tmp_path, "--out", tmp_path / "o"),
            ("report", read[0].folder, "--out", tmp_path / "o", "--model", tmp_path / "none"),
            ("plan", tmp_path / "none.csv", "--readers", "A,B", "--out", tmp_path / "p"),
            ("plan", tmp_path, "--readers", "A", "--washout", "soon", "--out", tmp_path / "p"),
            ("assign", read[0].folder, "--reader", "X", "--session", "1", "--out", tmp_path / "p"),
            ("import", read[0].folder, tmp_path / "none.csv"),
        ):
            ended = command(capfd, "reader", *map(str, words))
            assert ended.code == 2 and ended.line.startswith("breastpredict: error: ")


def test_days_between_sessions_are_at_least_the_wash_out(read: tuple[Plan, Truth]) -> None:
    found = read_all(read[0])
    first = max(r.ended for r in found.of("A", 1).values())
    second = min(r.started for r in found.of("A", 2).values())
    apart = np.datetime64(second[:19]) - np.datetime64(first[:19])
    assert apart >= np.timedelta64(timedelta(days=read[0].washout_days))
