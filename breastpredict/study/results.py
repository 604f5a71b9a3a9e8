"""The tables of a results folder: predictions.csv and failures.csv, and the keys of its cases.

A hidden ledger says what each prediction was made from; a second run compares it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from breastpredict.errors import InputError
from breastpredict.files import write_text

PREDICTIONS = (
    "patient_id case_key cohort p_zero p_low p_positive predicted_class task1_score "
    "task1_points_to task1_threshold task2_score task2_points_to task2_threshold synthetic "
    "overrides note"
).split()
FAILURES = "patient_id case_key cohort stage reason".split()
LEDGER = "case_key made_from".split()
_SALT_BYTES = 32
# What spreadsheets take for the start of a formula (OWASP, CSV injection), and the mark itself.
_ARMED = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


class Results:
    """A results folder.

    Rows are kept by case key, so a case that is run again replaces its row, in its place. Tables
    are rewritten whole and renamed.

    Raises:
        InputError: the folder cannot be written, or its salt is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._salt = _salt(self.folder / ".salt")
        except OSError as error:
            raise InputError(
                f"The results folder cannot be written ({error.strerror})", path=self.folder
            ) from error

    def key(self, *identity: str) -> str:
        """The case key: a hash with this folder's salt, 16 hex digits, safe as a file name.

        Without the salt nobody can tell which patient a key stands for by trying identifiers.
        """
        text = "\0".join(identity).encode("utf-8", "surrogatepass")  # file names may be no UTF-8
        return hashlib.blake2b(text, key=self._salt, digest_size=8).hexdigest()

    def begin(self, key: str) -> None:
        """The case is about to be run: until `predicted`, what is there of it does not count."""
        self._enter(key, "")

    def predicted(self, key: str, row: Mapping[str, Any], made_from: str = "") -> None:
        """Record a prediction; a failure of the same case is forgotten.

        Args:
            key: the case's.
            row: of predictions.csv.
            made_from: what the prediction depends on, in any form; see `done`.
        """
        _update(self.folder / "predictions.csv", PREDICTIONS, key, {**row, "case_key": key})
        _update(self.folder / "failures.csv", FAILURES, key, None)
        if made_from:  # last: a run killed before this does the case again
            self._enter(key, made_from)

    def failed(self, key: str, row: Mapping[str, Any]) -> None:
        """Record a failure; a prediction of the same case is forgotten."""
        _update(self.folder / "failures.csv", FAILURES, key, {**row, "case_key": key})
        _update(self.folder / "predictions.csv", PREDICTIONS, key, None)

    def done(self) -> dict[str, str]:
        """Case key → what it was made from, of every case whose row and folder are there."""
        rows = {row["case_key"] for row in self.predictions()}
        return {
            entry["case_key"]: entry["made_from"]
            for entry in _read(self.folder / ".ledger.csv", LEDGER)
            if entry["case_key"] in rows
            and (self.folder / entry["case_key"] / "result.json").is_file()
        }

    def predictions(self) -> list[dict[str, str]]:
        """The rows of predictions.csv."""
        return _read(self.folder / "predictions.csv", PREDICTIONS)

    def failures(self) -> list[dict[str, str]]:
        """The rows of failures.csv."""
        return _read(self.folder / "failures.csv", FAILURES)

    def _enter(self, key: str, made_from: str) -> None:
        entry = {"case_key": key, "made_from": made_from}
        _update(self.folder / ".ledger.csv", LEDGER, key, entry)


def read_results(
    folder: str | os.PathLike[str],
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of predictions.csv and of failures.csv of a folder that is only read.

    Raises:
        InputError: no such folder, neither table in it, or a table that was changed.
    """
    path = Path(folder)
    tables = [path / "predictions.csv", path / "failures.csv"]
    if not any(table.is_file() for table in tables):
        raise InputError(
            "The folder holds no predictions", path=path, remedy="Make them with: her2 batch"
        )
    return _read(tables[0], PREDICTIONS), _read(tables[1], FAILURES)


def safe_cell(value: Any) -> str:
    """A cell that no spreadsheet runs as a formula; `plain_cell` gives the text back."""
    text = "" if value is None else str(value)
    # A file name that is no UTF-8 comes as surrogates, which no text file can hold.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"'{text}" if text.startswith(_ARMED) and not _is_number(text) else text


def plain_cell(cell: str) -> str:
    """The text that `safe_cell` made the cell of."""
    return cell[1:] if cell.startswith("'") else cell


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV text, formulae disarmed."""
    names = list(columns)
    lines = []
    for cells in (names, *([safe_cell(row.get(name)) for name in names] for row in rows)):
        out = io.StringIO()
        # With CR in the terminator the writer quotes a cell that holds one; our lines end in LF.
        csv.writer(out, lineterminator="\r\n").writerow(cells)
        lines.append(out.getvalue()[:-2] + "\n")
    return "".join(lines)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _update(path: Path, columns: list[str], key: str, row: Mapping[str, Any] | None) -> None:
    """Put the row in the place of the one with its key, or at the end; None takes it out."""
    old = _read(path, columns)
    rows: list[Mapping[str, Any]] = []
    for known in old:
        if known["case_key"] != key:
            rows.append(known)
        elif row is not None:
            rows.append(row)
            row = None
    if row is not None:
        rows.append(row)
    if rows != old:
        write_text(path, csv_text(columns, rows))


def _read(path: Path, columns: list[str]) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file, strict=True)
        if head != columns or any(len(row) != len(columns) for row in rows):
            raise ValueError("other columns")
    except (ValueError, csv.Error) as error:
        raise InputError(
            "The table was not made by BreastPredict, or was changed",
            path=path,
            remedy="Choose another results folder, or take the table out of it",
        ) from error
    return [dict(zip(columns, map(plain_cell, row), strict=True)) for row in rows]


def _salt(path: Path) -> bytes:
    """The folder's salt; made when there is none, and never by two processes at once."""
    if not path.exists():
        handle, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)  # mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(_SALT_BYTES))
        try:
            os.link(name, path)  # fails where another process was first
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            os.replace(name, path)
        Path(name).unlink(missing_ok=True)
    try:
        salt = bytes.fromhex(path.read_text().strip())
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError("The salt of the results folder is damaged", path=path) from error
    if len(salt) != _SALT_BYTES:
        raise InputError("The salt of the results folder is damaged", path=path)
    return salt
