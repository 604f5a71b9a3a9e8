"""The tables of a results folder: predictions.csv and failures.csv, and the keys of its cases.

A hidden ledger holds what they say and what each prediction was made from; the tables are written
from it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from breastpredict.errors import InputError
from breastpredict.files import write_atomic
from breastpredict.study.ledger import Ledger, Status
from breastpredict.study.lock import FolderLock

PREDICTIONS = (
    "patient_id case_key cohort p_zero p_low p_positive predicted_class task1_score "
    "task1_points_to task1_threshold task2_score task2_points_to task2_threshold synthetic "
    "overrides note"
).split()
FAILURES = "patient_id case_key cohort stage reason".split()
_TABLES: dict[str, Status] = {"predictions.csv": "predicted", "failures.csv": "failed"}
_SALT_BYTES = 32
# What spreadsheets take for the start of a formula (OWASP, CSV injection), and the mark itself.
_ARMED = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


class Results:
    """A results folder.

    A case that is run again replaces its row, in its place. Tables are rewritten whole and renamed.

    Args:
        folder: made where there is none.
        system: whose results.
        columns: of predictions.csv.

    Raises:
        InputError: the folder cannot be written, or its salt is damaged.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        system: str = "her2",
        columns: Sequence[str] = PREDICTIONS,
    ) -> None:
        self.folder = Path(folder)
        self._system = system
        self._columns = {"predictions.csv": list(columns), "failures.csv": FAILURES}
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
        return salted_key(self._salt, *identity)

    @contextmanager
    def opened(self, task: str = "case") -> Iterator[Ledger]:
        """The ledger, while no other process may write here; the tables follow it at the end.

        They do so where the block raises, too. Where the disk is full or gone, the tables stay
        behind, and the next run brings them up to date.

        Args:
            task: "batch" or "case"; see `FolderLock`.

        Raises:
            InputError: another run writes here, or a table was not made by BreastPredict.
        """
        with FolderLock(self.folder, task):
            old = [(status, row) for name, status in _TABLES.items() for row in self._rows(name)]
            ledger = Ledger(self.folder / ".ledger.sqlite", self._system, old)
            try:
                try:
                    yield ledger
                except BaseException:
                    with suppress(OSError, InputError):
                        self.write_tables(ledger)
                    raise
                self.write_tables(ledger)
            finally:
                ledger.close()

    def write_tables(self, ledger: Ledger) -> None:
        """Write both tables as the ledger has them; one that says it already is left alone."""
        ledger.check()
        for name, status in _TABLES.items():
            path, columns = self.folder / name, self._columns[name]
            if not path.is_file() and next(ledger.rows(status), None) is None:
                continue
            if not _says(path, csv_lines(columns, ledger.rows(status))):
                with (
                    write_atomic(path) as temporary,
                    open(temporary, "w", encoding="utf-8", newline="\n") as file,
                ):
                    file.writelines(csv_lines(columns, ledger.rows(status)))

    def predicted(self, key: str, row: Mapping[str, Any]) -> None:
        """Record a prediction; a failure of the same case is forgotten."""
        with self.opened() as ledger:
            ledger.record(key, "predicted", row)

    def failed(self, key: str, row: Mapping[str, Any]) -> None:
        """Record a failure; a prediction of the same case is forgotten."""
        with self.opened() as ledger:
            ledger.record(key, "failed", row)

    def predictions(self) -> list[dict[str, str]]:
        """The rows of predictions.csv."""
        return self._rows("predictions.csv")

    def failures(self) -> list[dict[str, str]]:
        """The rows of failures.csv."""
        return self._rows("failures.csv")

    def _rows(self, name: str) -> list[dict[str, str]]:
        return _read(self.folder / name, self._columns[name])


def read_results(
    folder: str | os.PathLike[str],
    system: str = "her2",
    columns: Sequence[str] = PREDICTIONS,
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of predictions.csv and of failures.csv of a folder that is only read.

    Args:
        folder: the results folder.
        system, columns: as in `Results`.

    Raises:
        InputError: no such folder, neither table in it, or a table that was changed.
    """
    path = Path(folder)
    tables = [path / "predictions.csv", path / "failures.csv"]
    if not any(table.is_file() for table in tables):
        raise InputError(
            "The folder holds no predictions", path=path, remedy=f"Make them with: {system} batch"
        )
    return _read(tables[0], list(columns)), _read(tables[1], FAILURES)


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
    return "".join(csv_lines(columns, rows))


def csv_lines(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The rows of a CSV text, one after the other, its head first; formulae disarmed."""
    names = list(columns)
    yield _line(names)
    for row in rows:
        yield _line([safe_cell(row.get(name)) for name in names])


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    # With CR in the terminator the writer quotes a cell that holds one; our lines end in LF.
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()[:-2] + "\n"


def _says(path: Path, lines: Iterable[str]) -> bool:
    """Whether the file holds these lines and no more."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return all(file.read(len(text)) == text for text in map(str.encode, lines)) and (
            not file.read(1)
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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


def salted_key(salt: bytes, *identity: str) -> str:
    """A hash of texts, 16 hex digits, safe as a file name."""
    text = "\0".join(identity).encode("utf-8", "surrogatepass")  # file names may be no UTF-8
    return hashlib.blake2b(text, key=salt, digest_size=8).hexdigest()


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
