"""The tables of a results folder: predictions.csv and failures.csv, and the keys of its cases."""

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
_SALT_BYTES = 32


class Results:
    """A results folder.

    Rows are kept by case key, so a case that is run again replaces its row. Tables are rewritten
    whole and renamed.

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
        text = "\0".join(identity).encode()
        return hashlib.blake2b(text, key=self._salt, digest_size=8).hexdigest()

    def predicted(self, key: str, row: Mapping[str, Any]) -> None:
        """Record a prediction; a failure of the same case is forgotten."""
        _update(self.folder / "predictions.csv", PREDICTIONS, key, {**row, "case_key": key})
        _update(self.folder / "failures.csv", FAILURES, key, None)

    def failed(self, key: str, row: Mapping[str, Any]) -> None:
        """Record a failure; a prediction of the same case is forgotten."""
        _update(self.folder / "failures.csv", FAILURES, key, {**row, "case_key": key})
        _update(self.folder / "predictions.csv", PREDICTIONS, key, None)

    def predictions(self) -> list[dict[str, str]]:
        """The rows of predictions.csv."""
        return _read(self.folder / "predictions.csv")

    def failures(self) -> list[dict[str, str]]:
        """The rows of failures.csv."""
        return _read(self.folder / "failures.csv")


def safe_cell(value: Any) -> str:
    """A cell that no spreadsheet runs as a formula (OWASP, CSV injection)."""
    text = "" if value is None else str(value)
    if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _is_number(text):
        return "'" + text
    return text


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV text, formulae disarmed."""
    out = io.StringIO()
    names = list(columns)
    writer = csv.DictWriter(out, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: safe_cell(row.get(name)) for name in names})
    return out.getvalue()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _update(path: Path, columns: list[str], key: str, row: Mapping[str, Any] | None) -> None:
    rows: list[Mapping[str, Any]] = [old for old in _read(path) if old["case_key"] != key]
    if row is None and not path.exists():
        return
    if row is not None:
        rows.append(row)
    write_text(path, csv_text(columns, rows))


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and "case_key" not in rows[0]:
        raise InputError("The table was not made by BreastPredict", path=path)
    # A disarmed cell is read as what it stands for, or each rewriting would add a mark.
    return [{k: v[1:] if _disarmed(v) else v for k, v in row.items()} for row in rows]


def _disarmed(text: str | None) -> bool:
    return bool(text) and text is not None and text[0] == "'" and safe_cell(text[1:]) == text


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
