"""Planning a reader study, reading in it, and sending it to readers elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from cli_runs import SECRET_ID, SECRET_NAME, command, make_cohort
from reader_studies import START, Clock, Truth, grown, planned, read_session

from breastpredict.dicom import read_study
from breastpredict.errors import InputError
from breastpredict.imaging import BoxedMask
from breastpredict.reader import (
    Plan,
    assign,
    import_readings,
    make_plan,
    open_plan,
    read_all,
    sign_in,
)


@pytest.fixture(scope="module")
def made(reader_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Truth]:
    """A plan of four cases, and who they are."""
    folder = tmp_path_factory.mktemp("plan")
    plan = planned(reader_cohort, folder / "plan", cases=4, seed=3)
    return plan, Truth(reader_cohort, folder / "plan-key.json")


@pytest.fixture
def study(made: tuple[Plan, Truth], tmp_path: Path) -> tuple[Plan, Truth]:
    """A copy of it, to read in."""
    shutil.copytree(made[0].folder, tmp_path / "plan")
    return open_plan(tmp_path / "plan"), made[1]


class TestPlan:
    def test_the_sample_keeps_the_shares_of_the_classes_and_the_seed_makes_it(
        self, made: tuple[Plan, Truth], reader_cohort: Path, tmp_path: Path
    ) -> None:
        drawn = [{entry["patient_id"] for entry in made[1].key.values()}]
        for seed in (3, 4):
            plan = make_plan(
                reader_cohort, tmp_path / str(seed), readers=("A",), cases=4, seed=seed
            )
            key = json.loads(plan.key_file.read_text("utf-8"))
            drawn.append({entry["patient_id"] for entry in key["cases"].values()})
            # of 2 zero, 4 low, 3 positive
            assert plan.strata == {"zero": 1, "low": 2, "positive": 1}
            assert Counter(e["her2"] for e in key["cases"].values()) == plan.strata
        assert drawn[0] == drawn[1] != drawn[2]

    def test_every_reader_and_session_has_the_same_cases_in_an_order_of_its_own(
        self, made: tuple[Plan, Truth]
    ) -> None:
        plan = made[0]
        orders = [tuple(plan.sequence(r, s)) for r in ("A", "B") for s in (1, 2)]
        assert all(sorted(order) == list(plan.cases) for order in orders)
        assert len(set(orders)) > 1

    def test_the_key_file_is_the_coordinators_only(
        self, made: tuple[Plan, Truth], reader_cohort: Path, tmp_path: Path
    ) -> None:
        file = made[0].folder.with_name("plan-key.json")
        assert file.stat().st_mode & 0o777 == 0o600
        assert made[0].folder not in file.parents
        with pytest.raises(InputError, match="outside of the plan"):
            planned(reader_cohort, tmp_path / "p", key_file=tmp_path / "p" / "key.json")

    def test_nothing_in_plan_and_readings_tells_patient_class_cohort_or_seed(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        table = make_cohort(tmp_path / "cohort", [SECRET_ID, f"{SECRET_ID}-8"])
        ended = command(
            capfd, "reader", "plan", table, "--out", tmp_path / "plan", "--readers", "A,B",
            "--cases", "2", "--washout", "2w", "--seed", "5",
        )  # fmt: skip
        assert ended.code == 0 and "Traceback" not in ended.err
        plan = open_plan(tmp_path / "plan")
        assert plan.washout_days == 14.0
        truth = Truth(table, tmp_path / "plan-key.json")
        read_session(plan, truth, "A", Clock(), lambda mask, _: mask)
        content = json.loads((plan.folder / "plan.json").read_text("utf-8"))
        assert "seed" not in content and "salt" not in content
        headers = [pydicom.dcmread(path) for path in sorted(plan.folder.rglob("*.dcm"))]
        source = pydicom.dcmread(next((tmp_path / "cohort").rglob("*.dcm")))
        secrets = [SECRET_ID, SECRET_NAME, "SITE", "positive", "HER2", str(tmp_path)]
        secrets += [str(value) for value in source.group_dataset(0x0020).values()
                    if hasattr(value, "VR") and value.VR == "UI"]  # fmt: skip
        secrets += [str(source.SOPInstanceUID), str(source.SeriesInstanceUID)]
        for path in plan.folder.rglob("*"):
            hidden = [s for s in secrets if s in path.relative_to(plan.folder).as_posix()]
            if path.is_file():
                data = path.read_bytes()
                hidden += [secret for secret in secrets if secret.encode() in data]
            assert not hidden, path.name
        for header in headers:
            assert header.PatientID in plan.cases and header.StudyDate == "19000101"
            assert header.PatientBirthDate == "" and header.PatientIdentityRemoved == "YES"
        assert SECRET_ID not in ended.out + ended.err

    def test_the_blinded_images_are_the_early_phase_and_the_one_before_contrast_bit_for_bit(
        self, made: tuple[Plan, Truth]
    ) -> None:
        plan, truth = made
        for key in plan.cases:
            row = truth.rows[truth.key[key]["patient_id"]]
            source = read_study(truth.folder / row["study"]).dce[0]
            blinded = plan.case(key).study.dce[0]
            assert [phase.role for phase in blinded.phases] == ["pre", "post"]
            assert blinded.chosen == 2
            assert blinded.laterality == source.laterality
            for ours, theirs in zip(blinded.phases, source.phases, strict=True):
                assert ours.geometry.same_grid(theirs.geometry)
                a, b = (sitk.GetArrayFromImage(p.read()) for p in (ours, theirs))
                assert np.array_equal(a, b)

    def test_the_interval_to_expect_is_that_of_the_size(self, made: tuple[Plan, Truth]) -> None:
        expected = made[0].expected
        assert expected is not None and expected.value == pytest.approx(0.8)
        assert expected.low < 0.2 and expected.high > 0.95  # four cases say little

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"cases": 10}, "9 patients with a HER2 class, fewer than 10"),
            ({"readers": ("A", "a")}, "different names"),
            ({"readers": ("Dr. Who",)}, "no plain word"),
            ({"readers": ("A",), "sessions": 1}, "nothing to compare"),
            ({"only": ("ELSEWHERE",)}, "no cohort ELSEWHERE"),
            ({"washout_days": -1.0}, "wash-out must not be negative"),
            ({"mode": "shared"}, "no mode 'shared'"),
        ],
    )
    def test_a_plan_that_cannot_be_is_refused_and_leaves_nothing(
        self, reader_cohort: Path, tmp_path: Path, options: dict[str, object], says: str
    ) -> None:
        with pytest.raises(InputError, match=says):
            planned(reader_cohort, tmp_path / "plan", **options)
        assert not any(tmp_path.iterdir())

    def test_a_case_that_cannot_be_read_is_replaced_by_the_next_of_its_class(
        self, reader_cohort: Path, tmp_path: Path
    ) -> None:
        copy = tmp_path / "cohort"
        shutil.copytree(reader_cohort.parent, copy)
        first = make_plan(copy / "COHORT.csv", tmp_path / "a", readers=("A",), cases=3)
        key = json.loads(first.key_file.read_text("utf-8"))["cases"]
        lost = next(e["patient_id"] for e in key.values() if e["her2"] == "low")
        row = Truth(copy / "COHORT.csv", first.key_file).rows[lost]
        for file in sorted((copy / row["study"]).rglob("*.dcm"))[1:]:
            file.unlink()
        second = make_plan(copy / "COHORT.csv", tmp_path / "b", readers=("A",), cases=3)
        key = json.loads(second.key_file.read_text("utf-8"))
        assert second.passed_over == 1 and second.strata == first.strata
        assert lost not in {e["patient_id"] for e in key["cases"].values()}
        assert [e["patient_id"] for e in key["passed_over"]] == [lost]

    def test_a_reader_whose_name_leads_elsewhere_is_refused(
        self, study: tuple[Plan, Truth]
    ) -> None:
        file = study[0].folder / "plan.json"
        text = file.read_text("utf-8").replace('"A"', '"../../A"')
        assert text.count('"../../A"') == 2  # its name and its order
        file.write_text(text)
        with pytest.raises(InputError, match="damaged or was changed"):
            open_plan(file)

    @pytest.mark.parametrize(
        "change",
        [
            {"cases": ["../../x"]},
            {"order": {"A": [[], []], "B": [[], []]}},
            {"format": "another"},
            {"sessions": 0},
        ],
    )
    def test_a_changed_plan_is_refused(
        self, study: tuple[Plan, Truth], change: dict[str, object]
    ) -> None:
        file = study[0].folder / "plan.json"
        file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **change}))
        with pytest.raises(InputError, match="damaged or was changed"):
            open_plan(file)


class TestReading:
    def test_a_session_goes_through_the_cases_in_its_order_and_keeps_seg_and_record(
        self, study: tuple[Plan, Truth]
    ) -> None:
        plan, truth = study
        session = sign_in(plan, "A", clock=Clock())
        seen = []
        while (given := session.next_case()) is not None:
            seen.append(given.key)
            assert (given.place, given.total, session.done) == (len(seen), 4, len(seen) - 1)
            true = truth(given.case)
            drawn = grown(1, true.to_image())
            kept = session.save_reading(drawn, automatic=true, seed_point_lps=(1.0, 2.0, 3.0))
            assert kept.seed_point_lps == (1.0, 2.0, 3.0) and kept.place == len(seen)
            final = BoxedMask.of(drawn)
            both = final.volume_mm3 - true.volume_mm3  # grown: the rest is what was edited
            assert kept.edited_fraction == pytest.approx(both / final.volume_mm3, abs=1e-4)
            data = pydicom.dcmread(kept.mask_path)
            assert data.PatientID == given.key and data.Modality == "SEG"
            assert "Reader: A. Session: 1." in data.ImageComments
            assert int(np.count_nonzero(data.pixel_array)) == int(final.inside.sum())
        assert seen == plan.sequence("A", 1)
        assert sign_in(plan, "B", clock=Clock()).done == 0

    def test_the_wash_out_holds_until_its_end_and_an_override_is_recorded(
        self, study: tuple[Plan, Truth]
    ) -> None:
        plan, truth = study
        clock = Clock()
        read_session(plan, truth, "A", clock, lambda mask, _: mask)
        last = clock.now
        clock.now = last + timedelta(days=14) - timedelta(seconds=1)
        with pytest.raises(InputError, match="wash-out of reader A ends on 2026-03-15"):
            sign_in(plan, "A", clock=clock)
        early = sign_in(plan, "A", washout_override="  leaves\nnext week ", clock=clock)
        given = early.next_case()
        assert given is not None and early.session == 2
        assert early.save_reading(truth(given.case)).washout_override == "leaves next week"
        clock.now = last + timedelta(days=14)
        regular = sign_in(plan, "A", washout_override="not needed", clock=clock)
        assert regular.next_case() is not None
        assert regular.save_reading(None).washout_override == ""

    def test_a_second_session_waits_for_the_whole_first(self, study: tuple[Plan, Truth]) -> None:
        plan, truth = study
        read_session(plan, truth, "A", Clock(), lambda mask, _: mask, cases=3)
        with pytest.raises(InputError, match="Session 1 of reader A lacks 1 of 4 readings"):
            sign_in(plan, "A", 2)

    def test_strangers_and_finished_readers_are_turned_away(
        self, study: tuple[Plan, Truth]
    ) -> None:
        plan, truth = study
        with pytest.raises(InputError, match="no reader 'C'"):
            sign_in(plan, "C")
        with pytest.raises(InputError, match="no session 3"):
            sign_in(plan, "A", 3)
        clock = Clock()
        for _ in range(2):
            read_session(plan, truth, "B", clock, lambda mask, _: mask)
            clock.pass_(days=15)
        with pytest.raises(InputError, match="read everything"):
            sign_in(plan, "B", clock=clock)

    def test_a_reading_is_never_overwritten_and_the_first_counts(
        self, study: tuple[Plan, Truth]
    ) -> None:
        plan, truth = study
        clock = Clock()
        one, other = (sign_in(plan, "A", clock=clock) for _ in range(2))  # two windows
        first, second = one.next_case(), other.next_case()
        assert first is not None and second is not None and first.key == second.key
        kept = one.save_reading(truth(first.case))
        clock.pass_(minutes=1)
        later = other.save_reading(grown(1, truth(second.case).to_image()))
        assert later.path != kept.path
        found = read_all(plan)
        assert found.first[kept.key] == kept and found.duplicates == (later,)

    def test_no_lesion_is_a_reading(self, study: tuple[Plan, Truth]) -> None:
        plan, truth = study
        session = sign_in(plan, "A", clock=Clock())
        for nothing in (None, "empty"):
            given = session.next_case()
            assert given is not None
            mask = None if nothing is None else given.case.phase.geometry.to_image(dtype=np.uint8)
            kept = session.save_reading(mask, automatic=truth(given.case))
            assert kept.empty and kept.edited_fraction == 1.0
            assert [file.name for file in kept.path.iterdir()] == ["reading.json"]
        assert session.done == 2

    def test_a_contour_on_another_grid_and_a_reading_without_a_case_are_refused(
        self, study: tuple[Plan, Truth]
    ) -> None:
        session = sign_in(study[0], "A")
        with pytest.raises(InputError, match="No case is open"):
            session.save_reading(None)
        assert session.next_case() is not None
        with pytest.raises(InputError, match="not on the grid"):
            session.save_reading(sitk.Image(4, 4, 4, sitk.sitkUInt8))
        assert session.done == 0

    def test_a_killed_session_goes_on_where_it_was_saved(self, study: tuple[Plan, Truth]) -> None:
        """A process saves again and again and is killed in between, for real."""
        plan, truth = study
        first = plan.case(plan.sequence("A", 1)[0])
        sitk.WriteImage(truth(first).to_image(), str(plan.folder.parent / "true.nrrd"))
        script = (
            "import sys, SimpleITK as sitk\n"
            "from breastpredict.reader import open_plan, sign_in\n"
            f"mask = sitk.ReadImage({str(plan.folder.parent / 'true.nrrd')!r})\n"
            f"session = sign_in(open_plan({str(plan.folder)!r}), 'A')\n"
            "session.next_case()\n"
            "for number in range(100000):\n"
            "    session.autosave(mask, automatic=mask, seed_point_lps=(1, 2, number))\n"
            "    print(number, flush=True)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(12)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        said += [int(line) for line in process.stdout]
        process.stdout.close()
        session = sign_in(plan, "A")
        given = session.next_case()
        assert given is not None and given.key == first.key and given.unfinished is not None
        left = given.unfinished
        assert left.seed_point_lps is not None
        assert left.seed_point_lps[2] in (said[-1], said[-1] + 1)
        assert left.mask is not None and left.automatic is not None
        assert BoxedMask.of(left.mask).volume_mm3 == pytest.approx(truth(first).volume_mm3)
        assert 0 <= left.seconds <= session.seconds and left.resumed == 1
        kept = session.save_reading(left.mask, automatic=left.automatic)
        assert kept.resumed == 1 and kept.seconds >= left.seconds
        assert kept.edited_fraction == 0.0
        names = {path.name for path in kept.path.parent.iterdir()}
        assert names == {first.key} or all(n.startswith(".part-") for n in names - {first.key})
        after = session.next_case()
        assert after is not None and after.unfinished is None

    def test_pauses_do_not_count(self, study: tuple[Plan, Truth]) -> None:
        session = sign_in(study[0], "A")
        session.next_case()
        session.pause()
        before = session.seconds
        assert session.seconds == before
        session.go_on()
        assert session.seconds > before

    def test_a_changed_contour_is_noticed(self, study: tuple[Plan, Truth]) -> None:
        plan, truth = study
        read_session(plan, truth, "A", Clock(), lambda mask, _: mask, cases=2)
        one, other = read_all(plan).of("A", 1).values()
        other.mask_path.write_bytes(one.mask_path.read_bytes())
        found = read_all(plan)
        assert len(found.first) == 1
        assert "contour of a reading was changed" in found.damaged[0]

    def test_reading_needs_no_torch(self, study: tuple[Plan, Truth]) -> None:
        code = (
            "import sys\n"
            "from breastpredict.reader import open_plan, sign_in\n"
            f"session = sign_in(open_plan({str(study[0].folder)!r}), 'B')\n"
            "case = session.next_case(); phase = case.case.phase\n"
            "phase.read(); session.autosave(phase.geometry.to_image(dtype='uint8'))\n"
            "session.save_reading(None)\n"
            "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        assert len(read_all(study[0]).of("B", 1)) == 1


class TestReadersElsewhere:
    def test_a_package_holds_one_session_and_its_readings_come_back_once(
        self, study: tuple[Plan, Truth], tmp_path: Path
    ) -> None:
        plan, truth = study
        clock = Clock()
        read_session(plan, truth, "B", clock, lambda mask, _: mask)  # must not be sent to A
        package = open_plan(assign(plan, "A", 1, tmp_path / "package"))
        assert not (package.folder / "readings").exists() and package.readers == ("A",)
        with pytest.raises(InputError, match="for reader A, session 1"):
            sign_in(package, "A", 2)
        read_session(package, truth, "A", clock, lambda mask, _: grown(1, mask))
        with pytest.raises(InputError, match="into the plan"):
            import_readings(package, package.folder)
        done = import_readings(plan, package.folder)
        assert (done.new, done.known, done.duplicates, done.failures) == (4, 0, 0, ())
        assert import_readings(plan, package.folder).known == 4
        assert len(read_all(plan).of("A", 1)) == 4

        again = open_plan(assign(plan, "A", 2, tmp_path / "second"))
        with pytest.raises(InputError, match="wash-out"):
            sign_in(again, "A", clock=clock)
        clock.pass_(days=14)
        assert sign_in(again, "A", clock=clock).session == 2

    def test_a_session_whose_forerunner_is_open_is_not_sent(
        self, study: tuple[Plan, Truth], tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match="lacks 4 of 4"):
            assign(study[0], "A", 2, tmp_path / "package")
        assert not (tmp_path / "package").exists()

    def test_masks_of_other_programs_come_in_by_a_table(
        self, study: tuple[Plan, Truth], tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        plan, truth = study
        a, b, c, d = plan.sequence("A", 1)
        fine = truth(plan.case(a)).to_image()
        sitk.WriteImage(fine, str(tmp_path / "same.nrrd"))
        other = sitk.Resample(
            truth(plan.case(b)).to_image(),
            [2 * n for n in fine.GetSize()],
            sitk.Transform(),
            sitk.sitkNearestNeighbor,
            truth(plan.case(b)).to_image().GetOrigin(),
            [x / 2 for x in truth(plan.case(b)).geometry.spacing],
            truth(plan.case(b)).geometry.direction,
        )
        sitk.WriteImage(other, str(tmp_path / "finer.nii.gz"))
        empty = plan.case(c).phase.geometry.to_image(dtype=np.uint8)
        sitk.WriteImage(empty, str(tmp_path / "empty.nrrd"))
        sitk.WriteImage(truth(plan.case(d)).to_image(), str(tmp_path / "again.nrrd"))
        when = START.isoformat()
        rows = [
            f"A,1,{a},same.nrrd,{when},12.5",
            f"A,1,{b},finer.nii.gz,{when},",
            f"A,1,{c},empty.nrrd,{when},",
            f"A,1,{d},,{when},",  # no lesion
            f"A,1,{d},again.nrrd,2026-03-01T11:00:00+00:00,",  # read again
            f"A,1,{a},gone.nrrd,2026-03-02T09:00:00+00:00,",
            f"A,2,{a},same.nrrd,2026-03-05T09:00:00+00:00,",  # in the wash-out
            f"C,1,{a},same.nrrd,{when},",
            f"B,1,0123456789abcdef,same.nrrd,{when},",
            f"B,1,{a},same.nrrd,yesterday,",
            f"B,x,{a},same.nrrd,{when},",
        ]
        table = tmp_path / "readings.csv"
        head = "reader,session,case_key,mask,ended,seconds"
        table.write_text("\n".join([head, *rows]) + "\n")
        ended = command(capfd, "reader", "import", plan.folder, table, "--quiet")
        assert ended.code == 1
        lines = ended.out.splitlines()
        assert lines[0] == "5 readings imported, 0 known already, 6 not usable"
        assert lines[1].startswith("1 of cases that were read in that session before")
        said = "\n".join(lines[2:])
        for words in (
            "row 7: There is no such segmentation",
            "row 8: The wash-out ended on 2026-03-15",
            "row 9: There is no reader 'C'",
            "row 10: There is no case",
            "row 11: ended is 'yesterday'",
            "row 12: The session is 'x'",
        ):
            assert words in said
        found = read_all(plan).of("A", 1)
        assert not found[a].resampled and found[b].resampled and found[a].seconds == 12.5
        assert found[c].empty and found[d].empty and len(read_all(plan).duplicates) == 1
        volume = BoxedMask.of(sitk.ReadImage(str(tmp_path / "same.nrrd"))).volume_mm3
        session = sign_in(plan, "B")
        assert session.next_case() is not None
        data = pydicom.dcmread(found[a].mask_path)
        assert data.PatientID == a
        voxel = plan.case(a).phase.geometry.voxel_volume_mm3
        assert np.count_nonzero(data.pixel_array) * voxel == pytest.approx(volume)

    @pytest.mark.parametrize(
        ("text", "says"),
        [("reader,session\n", "lacks case_key, mask, ended"), (None, "no such table or package")],
    )
    def test_what_is_no_table_is_refused(
        self, study: tuple[Plan, Truth], tmp_path: Path, text: str | None, says: str
    ) -> None:
        if text is not None:
            (tmp_path / "t.csv").write_text(text)
        with pytest.raises(InputError, match=says):
            import_readings(study[0], tmp_path / "t.csv")
