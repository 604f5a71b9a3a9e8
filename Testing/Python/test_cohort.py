"""A cohort table is read whole or refused with every violation at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from breastpredict.errors import InputError
from breastpredict.study import CohortError, read_cohort

HEADER = "patient_id,cohort,split,study,segmentation,ihc,ish,age\n"


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    (tmp_path / "study").mkdir(exist_ok=True)
    path = tmp_path / "COHORT.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_row_becomes_a_case_with_paths_beside_the_table(tmp_path: Path, encoding: str) -> None:
    (case,) = read_cohort(table(tmp_path, HEADER + "P1,A,external,study,,2+,+,51\n", encoding))
    assert (case.patient_id, case.cohort, case.split) == ("P1", "A", "external")
    assert case.study == tmp_path / "study"
    assert case.segmentation is None
    assert case.her2 == "positive"
    assert case.extra == {"age": "51"}


def test_all_violations_are_reported_at_once_by_row_and_column(tmp_path: Path) -> None:
    rows = (
        "P1,A,,study,,0,,\n"
        "P1,A,,study,,1+,,\n"
        ",,holdout,none,none.nrrd,4+,,\n"
        "P3,A,,study,,1+,+,\n"
        "P4,A,,study,,2+,maybe,\n"
    )  # fmt: skip
    with pytest.raises(CohortError) as caught:
        read_cohort(table(tmp_path, HEADER + rows))
    found = [violation.split(": ")[0] for violation in caught.value.violations]
    assert found[0] == "row 3, column patient_id"
    columns = ("patient_id", "cohort", "split", "study", "segmentation", "ihc")
    assert found[1:7] == [f"row 4, column {name}" for name in columns]
    assert [name.split(",")[0] for name in found[7:]] == ["row 5", "row 6"]
    assert "9 errors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="ish"):
        read_cohort(table(tmp_path, "patient_id,cohort,split,study,segmentation,ihc\n"))


def test_no_table_and_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such"):
        read_cohort(tmp_path / "none.csv")
    with pytest.raises(InputError, match="no rows"):
        read_cohort(table(tmp_path, HEADER))
    with pytest.raises(InputError, match="UTF-8"):
        read_cohort(table(tmp_path, HEADER + "Pä,A,,study,,0,,\n", "latin-1"))
