"""What every cohort table shares: a row a patient, a schema, every violation at once."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from jsonschema import Draft202012Validator

from breastpredict.errors import InputError

_PAIRS = (("os_months", "os_event"), ("rfs_months", "rfs_event"))
_SHOWN = 5


class CohortError(InputError):
    """Every violation of a table; the message shows the first few.

    Attributes:
        violations: one line each, with row (as a spreadsheet counts) and column.
    """

    def __init__(self, path: Path, violations: list[str]) -> None:
        self.violations = tuple(violations)
        shown = "; ".join(violations[:_SHOWN])
        more = len(violations) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        super().__init__(f"The cohort table has {len(violations)} errors: {shown}{rest}", path=path)


@dataclass
class Row:
    """A row of a table.

    Attributes:
        number: as a spreadsheet counts.
        cells: column → text without blanks around it.
        folder: what paths are relative to.
        violations: found in this row.
    """

    number: int
    cells: dict[str, str] = field(repr=False)
    folder: Path = field(repr=False)
    violations: list[str] = field(default_factory=list, repr=False)

    def wrong(self, column: str, what: str) -> None:
        """Report a violation."""
        self.violations.append(f"row {self.number}, column {column}: {what}")

    def is_wrong(self, *columns: str) -> bool:
        """Whether a violation was found in one of these columns."""
        heads = tuple(f"row {self.number}, column {column}: " for column in columns)
        return any(one.startswith(heads) for one in self.violations)

    def file(self, column: str, *, or_folder: bool = False) -> Path | None:
        """What a cell names; None where it is empty. A file that is not there is reported."""
        if not self.cells.get(column):
            return None
        path = self.folder / self.cells[column]
        if not (path.is_file() or (or_folder and path.is_dir())):
            self.wrong(column, f"there is no such {'folder or ' if or_folder else ''}file")
        return path


class CohortTable:
    """A table that is checked while its rows are gone through.

    Args:
        path: the table.
        schema: name of the file with the schema of a row, in ``schemas/``.

    Raises:
        CohortError: a column is missing or there twice.
        InputError: no such file, or no table.
    """

    def __init__(self, path: str | os.PathLike[str], schema: str) -> None:
        self.path = Path(path)
        self._rule = _rule(schema)
        columns, self._rows = _read(self.path)
        missing = [name for name in self.required if name not in columns]
        if missing:
            raise CohortError(self.path, [f"row 1: column '{name}' is missing" for name in missing])
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise CohortError(
                self.path, [f"row 1: column '{name}' is there twice" for name in twice]
            )
        if not self._rows:
            raise InputError("The cohort table has no rows", path=self.path)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that every such table has."""
        return tuple(self._rule.schema["required"])

    def rows(self) -> Iterator[Row]:
        """The rows, checked against the schema and each other; the caller adds what it finds.

        Raises:
            CohortError: at the end, all violations at once.
        """
        violations: list[str] = []
        seen: dict[str, int] = {}
        for number, cells in enumerate(self._rows, start=2):
            if None in cells:
                violations.append(f"row {number}: more cells than columns")
                continue
            plain = {name: (value or "").strip() for name, value in cells.items()}
            row = Row(number, plain, self.path.parent)
            self._check(row, seen)
            yield row
            violations += row.violations
        if violations:
            raise CohortError(self.path, violations)

    def _check(self, row: Row, seen: dict[str, int]) -> None:
        rules, cells = self._rule.schema["properties"], row.cells
        columns = list(rules)
        for column in sorted(
            {str(e.path[0]) for e in self._rule.iter_errors(cells)}, key=columns.index
        ):
            says = rules[column]["description"]
            row.wrong(column, says if not cells[column] else f"is {cells[column]!r}; {says}")
        patient = cells["patient_id"]
        if patient in seen:
            row.wrong("patient_id", f"stands in row {seen[patient]} already; one row a patient")
        elif patient:
            seen[patient] = row.number
        for months, event in _PAIRS:
            known = [cells.get(name, "") not in ("", "NA") for name in (months, event)]
            if known[0] != known[1]:
                row.wrong(
                    event if known[0] else months,
                    f"is not known, though {months} and {event} are a pair",
                )


@cache
def _rule(schema: str) -> Draft202012Validator:
    """The schema of a row; it is a file, so that a hospital can check its export against it."""
    file = files("breastpredict.study") / "schemas" / schema
    return Draft202012Validator(json.loads(file.read_text("utf-8")))


def _read(path: Path) -> tuple[list[str], list[dict[str, str | None]]]:
    """The columns and rows of a file."""
    if not path.is_file():
        raise InputError("There is no such cohort table", path=path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            return columns, list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            "The cohort table is no UTF-8 CSV", path=path, remedy="Save it as CSV UTF-8"
        ) from error
