"""A table of prepared network inputs: what the bundle's own configurations train and judge on.

``table.csv`` has the columns ``image`` (a ``.npy`` file of float32 [C, S, S] in [-1, 1], relative
to the table), ``label`` (1 = the class the score points to, 0 = the other) and ``set`` (train,
tuning or validation). One row per patient; an image stands for its patient.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from breastpredict.errors import InputError
from breastpredict.learning.examples import CaseSet, Example
from breastpredict.learning.split import check_disjoint

TABLE = "table.csv"
COLUMNS = ("image", "label", "set")


def table_csv(rows: Iterable[tuple[str, int, str]]) -> str:
    """Text of a table of (image, label, set)."""
    lines = [",".join(COLUMNS), *(f"{image},{label},{name}" for image, label, name in rows)]
    return "\n".join(lines) + "\n"


def read_table(
    folder: str | os.PathLike[str], name: CaseSet, image_size: int | None = None
) -> list[Example]:
    """The examples of one set.

    Args:
        folder: holds ``table.csv``.
        name: the set.
        image_size: side the images must have.

    Raises:
        InputError: no table, an unknown set or label, an image on two sides, an image that is not
            there or not what a network takes, or a set that lacks a class.
    """
    path = Path(folder) / TABLE
    if not path.is_file():
        raise InputError(
            "There is no table of inputs", path=path, remedy="Make it with breastpredict her2 crops"
        )
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise InputError(f"The table must have the columns {', '.join(COLUMNS)}", path=path)
    for number, row in enumerate(rows, start=2):
        if row["label"] not in ("0", "1") or row["set"] not in get_args(CaseSet):
            raise InputError(f"Row {number} has no valid label and set", path=path)
    sides = {
        s: [_place(path, r["image"]) for r in rows if r["set"] == s] for s in get_args(CaseSet)
    }
    check_disjoint(sides)
    examples = [
        _example(path, row["image"], int(row["label"]), image_size)
        for row in rows
        if row["set"] == name
    ]
    if {example.label for example in examples} != {0, 1}:
        raise InputError(f"The {name} set of the table lacks a class", path=path)
    return examples


def labels_of(examples: Sequence[Example]) -> list[int]:
    """Their labels, in order."""
    return [example.label for example in examples]


def _place(table: Path, image: str) -> str:
    return str((table.parent / image).resolve())


def _example(table: Path, image: str, label: int, size: int | None) -> Example:
    path = table.parent / image
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError("The image cannot be read", path=path) from error
    square = array.ndim == 3 and array.shape[1] == array.shape[2] == (size or array.shape[1])
    if array.dtype != np.float32 or not square or not np.isfinite(array).all():
        raise InputError(
            f"The image is not float32 [channels, {size or 'S'}, {size or 'S'}]", path=path
        )
    return Example(Path(image).stem, array, label)
