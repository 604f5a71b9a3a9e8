"""The ledger of a results folder: what was made of which inputs. SQLite, hidden in the folder."""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from breastpredict.errors import InputError

Status = Literal["predicted", "failed"]

_VERSION = 1
_SCHEMA = (
    """CREATE TABLE cases (
    place INTEGER PRIMARY KEY,       -- in the tables: the order in which cases came to be known
    key TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL DEFAULT '', -- 'predicted', 'failed', or '': nothing that counts
    made_from TEXT NOT NULL DEFAULT '',
    stamp TEXT NOT NULL DEFAULT '',
    cells TEXT NOT NULL DEFAULT '{}'
)""",
    "CREATE TABLE about (system TEXT NOT NULL)",
)
_FULL = "full"


@dataclass(frozen=True)
class Entry:
    """A prediction in the ledger.

    Attributes:
        made_from: hash of everything it depends on.
        stamp: hash of what can be seen of its input files without reading them.
    """

    made_from: str
    stamp: str


class Ledger:
    """An open ledger; whoever opens it holds the folder's `FolderLock`.

    Every change is on disk when its method returns. A process that is killed at any moment leaves
    the ledger as it was before a change, or after it.

    Args:
        path: the file; made where there is none.
        system: whose results these are, such as "her2".
        old: rows that a new ledger begins with, of tables that had none.

    Raises:
        InputError: the file is no ledger, a later version's or another system's.
        OSError: it cannot be read or written, also by every method.
    """

    def __init__(
        self, path: Path, system: str, old: Iterable[tuple[Status, Mapping[str, Any]]] = ()
    ) -> None:
        self._path = path
        with self._said():
            self._db = sqlite3.connect(path, isolation_level=None)
        try:
            with self._said():
                version = self._db.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    with self._transaction():
                        for statement in _SCHEMA:
                            self._db.execute(statement)
                        self._db.execute("INSERT INTO about VALUES (?)", (system,))
                        for status, row in old:
                            self._put(row["case_key"], status, row, "", "")
                        self._db.execute(f"PRAGMA user_version = {_VERSION}")
                elif version != _VERSION:
                    raise InputError(
                        "The results folder was written by a later version", path=path.parent
                    )
                found = self._db.execute("SELECT system FROM about").fetchone()
            if found is None or found[0] != system:
                raise InputError(
                    f"The folder holds results of another system ({found and found[0]})",
                    path=path.parent,
                    remedy="Choose another results folder",
                )
            self._file = self._path.stat().st_ino
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """The ledger is not used any more."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def register(self, keys: Iterable[str]) -> None:
        """Give cases that are not known yet a place in the tables, in this order."""
        with self._said(), self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO cases (key) VALUES (?)", ((key,) for key in keys)
            )

    def predictions(self) -> dict[str, Entry]:
        """Case key → its prediction."""
        query = "SELECT key, made_from, stamp FROM cases WHERE status = 'predicted'"
        with self._said():
            return {key: Entry(made, stamp) for key, made, stamp in self._db.execute(query)}

    def rows(self, status: Status) -> Iterator[dict[str, str]]:
        """The rows of predictions.csv or failures.csv, in the order of the cases."""
        query = "SELECT cells FROM cases WHERE status = ? ORDER BY place"
        with self._said():
            for (cells,) in self._db.execute(query, (status,)):
                yield json.loads(cells)

    def record(
        self,
        key: str,
        status: Status | Literal[""],
        row: Mapping[str, Any] | None = None,
        made_from: str = "",
        stamp: str = "",
    ) -> None:
        """What is known of a case now, in the place of what was known before.

        Args:
            key: the case's.
            status: "" where nothing that is there counts any more.
            row: of the table.
            made_from, stamp: see `Entry`.
        """
        with self._said(), self._transaction():
            self._put(key, status, row or {}, made_from, stamp)

    def restamp(self, key: str, stamp: str) -> None:
        """The case's files look otherwise, but hold the same."""
        with self._said(), self._transaction():
            self._db.execute("UPDATE cases SET stamp = ? WHERE key = ?", (stamp, key))

    def check(self) -> None:
        """Raise FileNotFoundError where the folder is gone, or is another one than before."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._file:
                return
        folder = str(self._path.parent)
        raise FileNotFoundError(errno.ENOENT, "The results folder is gone", folder)

    def _put(
        self, key: str, status: str, row: Mapping[str, Any], made_from: str, stamp: str
    ) -> None:
        cells = {**{name: _text(value) for name, value in row.items()}, "case_key": key}
        self._db.execute("INSERT OR IGNORE INTO cases (key) VALUES (?)", (key,))
        self._db.execute(
            "UPDATE cases SET status = ?, made_from = ?, stamp = ?, cells = ? WHERE key = ?",
            (status, made_from, stamp, json.dumps(cells), key),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """SQLite's errors as the ones the user is told of."""
        try:
            yield
        except sqlite3.OperationalError as error:  # full, gone, no permission
            number = errno.ENOSPC if _FULL in str(error) else errno.EIO
            raise OSError(number, str(error).capitalize(), str(self._path)) from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                "The ledger of the results folder is damaged",
                path=self._path,
                remedy="Remove it: what is in the tables stays, and the cases are done again",
            ) from error


def _text(value: Any) -> str:
    """A cell's text. A file name that is no UTF-8 comes as surrogates, which no file can hold."""
    text = "" if value is None else str(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
