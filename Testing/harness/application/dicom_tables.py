"""The database's file as other programs read it: CTK's tables, as far as it finds files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing

import pydicom

Row = tuple[str, pydicom.Dataset]  # file and header
_TABLES = (
    "Images (SOPInstanceUID PRIMARY KEY, Filename, SeriesInstanceUID)",
    "Series (SeriesInstanceUID PRIMARY KEY, StudyInstanceUID, Modality)",
    "Studies (StudyInstanceUID PRIMARY KEY, PatientsUID)",
)


def write(file: str, rows: Iterable[Row]) -> None:
    """Make the file say that the database holds these."""
    with closing(sqlite3.connect(file, isolation_level=None)) as tables:
        tables.execute("PRAGMA synchronous = OFF")
        tables.execute("BEGIN")
        for table in _TABLES:
            tables.execute(f"DROP TABLE IF EXISTS {table.partition(' ')[0]}")
            tables.execute(f"CREATE TABLE {table}")
        _insert(tables, file, rows)
        tables.execute("COMMIT")


def add(file: str, row: Row) -> None:
    """One more."""
    with closing(sqlite3.connect(file, isolation_level=None)) as tables:
        tables.execute("PRAGMA synchronous = OFF")
        _insert(tables, file, [row])


def _insert(tables: sqlite3.Connection, file: str, rows: Iterable[Row]) -> None:
    folder = os.path.dirname(file) + os.sep
    for path, header in rows:
        uids = [str(header.get(f"{n}InstanceUID", "")) for n in ("SOP", "Series", "Study")]
        image, series, study = uids
        # CTK names files in its own folder relative to it.
        name = path.removeprefix(folder)
        modality = str(header.get("Modality", ""))
        tables.execute("INSERT OR IGNORE INTO Images VALUES (?, ?, ?)", (image, name, series))
        tables.execute("INSERT OR IGNORE INTO Series VALUES (?, ?, ?)", (series, study, modality))
        tables.execute(
            "INSERT OR IGNORE INTO Studies VALUES (?, ?)", (study, header.get("patient_row", ""))
        )
