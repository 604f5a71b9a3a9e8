"""A cohort table is read whole or refused with every violation at once."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    assert sorted(found[1:7]) == sorted(f"row 4, column {name}" for name in columns)
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


CLINICAL = "age,menopause,grade,er,pr,ki67,os_months,os_event,rfs_months,rfs_event"


def clinical_table(folder: Path, *rows: str) -> Path:
    lines = [HEADER.strip().removesuffix("age") + CLINICAL]
    for number, row in enumerate(rows):
        lines.append(f"P{number},A,,study,,1+,,{row}")
    return table(folder, "\n".join(lines) + "\n")


def test_clinical_values_may_be_unknown_but_not_absurd(tmp_path: Path) -> None:
    known = "51.5,post,2,+,-,12.5,40,1,30.5,1"
    cases = read_cohort(clinical_table(tmp_path, known, "NA,,NA,NA,,NA,NA,NA,,", ",,,,,,,,,"))
    assert cases[0].extra["ki67"] == "12.5" and cases[1].extra["age"] == "NA"
    with pytest.raises(CohortError) as caught:
        read_cohort(clinical_table(tmp_path, "121,late,4,pos,?,101,-1,2,1e3,yes"))
    wrong = [line.split("column ")[1].split(":")[0] for line in caught.value.violations]
    assert sorted(wrong) == sorted(CLINICAL.split(","))
    assert "is '101'; use percent, from 0 to 100" in " ".join(caught.value.violations)


def test_a_time_without_its_event_is_no_survival(tmp_path: Path) -> None:
    with pytest.raises(CohortError) as caught:
        read_cohort(clinical_table(tmp_path, ",,,,,,40,,NA,0"))
    assert [line.split(":")[0] for line in caught.value.violations] == [
        "row 2, column os_event",
        "row 2, column rfs_months",
    ]


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    head = HEADER.strip() + ",ihc\n"
    with pytest.raises(CohortError, match="'ihc' is there twice"):
        read_cohort(table(tmp_path, head + "P1,A,,study,,0,,,1+\n"))


@settings(max_examples=150, deadline=None)
@given(
    cell=st.text(st.characters(exclude_categories=("Cs",)), max_size=12), column=st.integers(0, 16)
)
def test_no_cell_is_answered_by_anything_but_cases_or_violations(
    tmp_path_factory: pytest.TempPathFactory, cell: str, column: int
) -> None:
    folder = tmp_path_factory.mktemp("table", numbered=True)
    names = [*HEADER.strip().split(",")[:7], *CLINICAL.split(",")]
    cells = ["P1", "A", "", "study", "", "1+", "", *[""] * 10]
    cells[column] = cell
    (folder / "study").mkdir()
    text = io.StringIO()
    csv.writer(text).writerows([names, cells])
    path = folder / "COHORT.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    try:
        [case] = read_cohort(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert case.patient_id == cells[0].strip()
