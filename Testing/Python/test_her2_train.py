"""Training the HER2 cascade from a cohort of DICOM studies to a run folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from breastpredict.errors import InputError
from breastpredict.her2.cases import Her2Case, her2_class
from breastpredict.her2.train import Her2TrainConfig, read_run, train_her2
from breastpredict.phantom.her2 import make_her2_phantom

pytest.importorskip("torch")

QUICK = Her2TrainConfig(preset="reduced", epochs=2, device="cpu")


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> list[Her2Case]:
    """36 phantoms to train on and 3 of another site, whose studies are not even there."""
    folder = tmp_path_factory.mktemp("phantom")
    table = make_her2_phantom(
        folder, {"SITE-A": 36, "SITE-B": 3}, seed=7, matrix=64, slices=10, phases=2, workers=1
    )
    return [
        Her2Case(
            patient_id=row["patient_id"],
            cohort=row["cohort"],
            split=row["split"],
            study=folder / (row["study"] if row["split"] == "" else "absent"),
            segmentation=folder / row["segmentation"],
            her2=her2_class(row["ihc"], row["ish"]),
            ihc=row["ihc"],
            ish=row["ish"],
            extra={"synthetic": row["synthetic"]},
        )
        for row in rows(table)
    ]


@pytest.fixture(scope="module")
def finished(cohort: list[Her2Case], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after training, in which one case could not be used."""
    out = tmp_path_factory.mktemp("runs") / "run"
    broken = replace(cohort[0], segmentation=cohort[0].study / "no-mask.dcm")
    train_her2([broken, *cohort[1:]], out, QUICK)
    return out


def weights(run: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(run.rglob("*.safetensors"))]


class TestRunFolder:
    def test_holds_a_bundle_for_each_task(self, finished: Path) -> None:
        for task, positive in (
            ("her2_zero_vs_rest", "low_or_positive"),
            ("her2_low_vs_positive", "low"),
        ):
            [path] = (finished / task).rglob("metadata.json")
            block = json.loads(path.read_text())["breastpredict"]
            assert block["task"] == task and block["positive_class"] == positive
            assert 0 < block["threshold"] < 1 and block["synthetic"] is True
            assert block["training_data"]

    def test_a_case_that_cannot_be_used_is_a_failure_with_a_reason(
        self, finished: Path, cohort: list[Her2Case]
    ) -> None:
        [failure] = rows(finished / "failures.csv")
        assert failure["patient_id"] == cohort[0].patient_id
        assert "segmentation" in failure["reason"].lower()

    def test_both_tasks_share_one_stratified_split_by_patient(self, finished: Path) -> None:
        split = {row["patient_id"]: row["set"] for row in rows(finished / "split.csv")}
        assert len(split) == 36
        assert abs(list(split.values()).count("validation") / 36 - 0.2) < 0.06
        for row in rows(finished / "scores.csv"):
            assert row["set"] == split[row["patient_id"]]
            assert row["out_of_sample"] == str(int(row["set"] != "train"))

    def test_scores_point_to_the_named_class(self, finished: Path) -> None:
        scores = rows(finished / "scores.csv")
        points = {(row["task"], row["her2"], row["label"]) for row in scores}
        assert points == {
            ("her2_zero_vs_rest", "zero", "0"),
            ("her2_zero_vs_rest", "low", "1"),
            ("her2_zero_vs_rest", "positive", "1"),
            ("her2_low_vs_positive", "low", "1"),
            ("her2_low_vs_positive", "positive", "0"),
        }
        for row in scores:
            assert row["above"] == str(int(float(row["score"]) >= float(row["threshold"])))

    def test_external_patients_are_nowhere(self, finished: Path, cohort: list[Her2Case]) -> None:
        external = {case.patient_id for case in cohort if case.split == "external"}
        assert len(external) == 3
        for name in ("split.csv", "scores.csv", "failures.csv"):
            assert not external & {row["patient_id"] for row in rows(finished / name)}

    def test_only_the_tables_name_patients(self, finished: Path, cohort: list[Her2Case]) -> None:
        tables = {"split.csv", "scores.csv", "failures.csv"}
        for path in finished.rglob("*"):
            assert "PHANTOM" not in path.name
            if path.is_file() and path.name not in tables:
                assert b"PHANTOM-0007" not in path.read_bytes()

    def test_is_marked_synthetic(self, finished: Path) -> None:
        content = json.loads((finished / "run.json").read_text())
        assert content["synthetic"] is True
        assert "synthetic data, not a result" in content["warning"]
        assert read_run(finished).synthetic


class TestResuming:
    def test_a_killed_run_ends_as_a_whole_one_and_reads_no_dicom_again(
        self, cohort: list[Her2Case], tmp_path: Path
    ) -> None:
        train_her2(cohort, tmp_path / "whole", QUICK)

        def kill(stage: str, done: int, total: int, line: str) -> None:
            if stage == "her2_low_vs_positive":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_her2(cohort, tmp_path / "killed", QUICK, kill)
        with pytest.raises(InputError, match="not finished"):
            read_run(tmp_path / "killed")
        crops = {p: p.stat().st_mtime_ns for p in (tmp_path / "killed" / "crops").iterdir()}
        assert len(crops) == 36

        stages: list[str] = []

        def watch(stage: str, done: int, total: int, line: str) -> None:
            stages.append(stage)
            if stage == "read":
                assert all(p.stat().st_mtime_ns == at for p, at in crops.items())

        train_her2(cohort, tmp_path / "killed", QUICK, watch, resume=True)
        assert stages.count("her2_zero_vs_rest") == 0  # it was done
        assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
        assert rows(tmp_path / "killed" / "scores.csv") == rows(tmp_path / "whole" / "scores.csv")

    def test_a_finished_run_is_refused_without_resume_and_returned_with_it(
        self, finished: Path, cohort: list[Her2Case]
    ) -> None:
        with pytest.raises(InputError, match="already holds a training run"):
            train_her2(cohort, finished, QUICK)
        before = weights(finished)
        run = train_her2(cohort, finished, QUICK, resume=True)
        assert [task.task for task in run.tasks] == ["her2_zero_vs_rest", "her2_low_vs_positive"]
        assert weights(finished) == before

    def test_other_settings_or_another_cohort_are_refused_by_name(
        self, finished: Path, cohort: list[Her2Case]
    ) -> None:
        with pytest.raises(InputError, match="other learning_rate"):
            train_her2(cohort, finished, replace(QUICK, learning_rate=0.5), resume=True)
        with pytest.raises(InputError, match="other cases"):
            train_her2(cohort[:-5], finished, QUICK, resume=True)

    def test_a_folder_of_something_else_is_left_alone(
        self, cohort: list[Her2Case], tmp_path: Path
    ) -> None:
        (tmp_path / "letter.txt").write_text("mine")
        with pytest.raises(InputError, match="not empty"):
            train_her2(cohort, tmp_path, QUICK)


class TestCohort:
    def test_validation_rows_of_the_cohort_are_kept_as_they_are(
        self, cohort: list[Her2Case], tmp_path: Path
    ) -> None:
        pool = [case for case in cohort if case.split == ""]
        marked = {case.patient_id for case in pool[:9]}
        cases = [
            replace(case, split="validation" if case.patient_id in marked else "train")
            for case in pool
        ]
        train_her2(cases, tmp_path / "run", replace(QUICK, epochs=1))
        split = rows(tmp_path / "run" / "split.csv")
        assert {row["patient_id"] for row in split if row["set"] == "validation"} == marked

    def refused(self, cases: Sequence[Her2Case], out: Path, message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            train_her2(cases, out / "run", QUICK)
        assert "PHANTOM" not in str(caught.value)

    def test_refuses_leakage_and_ambiguity(self, cohort: list[Her2Case], tmp_path: Path) -> None:
        first = cohort[0]
        leak = replace(first, split="external", cohort="SITE-B")
        self.refused([*cohort, leak], tmp_path, "both train and external")
        self.refused([*cohort, first], tmp_path, "twice in train")
        marked = replace(first, split="validation")
        self.refused([*cohort, marked], tmp_path, "both train and validation")
        stranger = replace(first, patient_id="other", cohort="SITE-D")
        self.refused([*cohort, stranger], tmp_path, "unclear which are external")
        self.refused([replace(first, split="holdout")], tmp_path, "'holdout'")
        self.refused([replace(first, split="external")], tmp_path, "no row to train on")

    def test_refuses_too_few_of_a_class(self, cohort: list[Her2Case], tmp_path: Path) -> None:
        zeros = [case for case in cohort if case.split == "" and case.her2 == "zero"]
        others = [case for case in cohort if case.split == "" and case.her2 != "zero"]
        self.refused([*zeros[:3], *others], tmp_path, "zero 3; at least 5")

    def test_refuses_an_unknown_preset(self, cohort: list[Her2Case], tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no network preset"):
            train_her2(cohort, tmp_path / "run", replace(QUICK, preset="huge"))  # type: ignore[arg-type]
