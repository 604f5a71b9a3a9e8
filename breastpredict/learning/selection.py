"""Choice of clinical variables by univariate, then multivariable logistic regression.

As the paper has it ([B] Methods, Fig. 2d; papers.md B3): variables related to the outcome alone
(p < 0.05) enter one model together, and those that still are (p < 0.05) are kept. The paper chose
them on all patients, test cohorts included; here everything, from what a missing value becomes to
the p-values, comes from the training rows that are given.

Both p-values are of the likelihood ratio of the models with and without the variable (all levels of
a category at once, see `breastpredict.stats.likelihood_ratio`). Where the variables separate the
classes, Firth's penalised likelihood takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from breastpredict.errors import InputError
from breastpredict.learning.baselines import (
    Baseline,
    Floats,
    Row,
    encoded,
    fit_baseline,
    fit_encoded,
    training_labels,
)
from breastpredict.stats import likelihood_ratio

LEVEL = 0.05
"""The paper's."""


class VariableTest(NamedTuple):
    """What was found of one variable on the training rows.

    Attributes:
        name: in the table.
        handling: how it was made a number, or why it was not used.
        univariate: p-value alone; None where it was not used.
        multivariable: p-value beside the others that passed alone; None where it did not, or where
            those with smaller p-values say the same already.
        kept: it passed both.
    """

    name: str
    handling: str
    univariate: float | None
    multivariable: float | None
    kept: bool


@dataclass(frozen=True)
class Selection:
    """The variables kept, and why.

    Attributes:
        kept: their names, in the order given; may be none.
        tests: of every variable given, in order.
        level: p-values below it pass.
        rows: training rows.
        positives: of them, of the positive class.
    """

    kept: tuple[str, ...]
    tests: tuple[VariableTest, ...]
    level: float
    rows: int
    positives: int

    def to_json(self) -> dict[str, Any]:
        """As written into a bundle's metadata."""
        return {
            "kept": list(self.kept),
            "level": self.level,
            "rows": self.rows,
            "positives": self.positives,
            "tests": [test._asdict() for test in self.tests],
        }


def select_variables(
    rows: Sequence[Row],
    y: ArrayLike,
    columns: Sequence[str],
    orders: Mapping[str, Sequence[str]] | None = None,
    *,
    level: float = LEVEL,
) -> Selection:
    """Choose among columns on training rows; nobody else's may be given.

    Args:
        rows, y, columns, orders: as `fit_baseline`.
        level: p-values below it pass.

    Raises:
        InputError: too few training rows of a class.
    """
    labels = training_labels(y)
    parts, handling, dropped = encoded(rows, columns, orders)
    lines = {part.name: line for part, line in zip(parts, handling, strict=True)}
    blocks = {part.name: part(rows) for part in parts}
    alone = {name: _p_value(labels, [block], []) for name, block in blocks.items()}
    passed: list[str] = []
    for name in sorted((n for n in blocks if alone[n] < level), key=lambda n: alone[n]):
        said = _independent([blocks[other] for other in passed], len(labels))
        if _independent([said, blocks[name]], len(labels)).shape[1] > said.shape[1]:
            passed.append(name)
    together = {
        name: _p_value(labels, [blocks[name]], [blocks[other] for other in passed if other != name])
        for name in passed
    }
    tests = tuple(
        VariableTest(
            name,
            lines.get(name, dropped.get(name, "")),
            alone.get(name),
            together.get(name),
            name in together and together[name] < level,
        )
        for name in columns
    )
    kept = tuple(test.name for test in tests if test.kept)
    return Selection(kept, tests, level, len(rows), int(labels.sum()))


def fit_selected_baseline(
    rows: Sequence[Row],
    y: ArrayLike,
    columns: Sequence[str],
    orders: Mapping[str, Sequence[str]] | None = None,
    *,
    level: float = LEVEL,
) -> tuple[Baseline, Selection]:
    """A baseline on the variables chosen among columns, both on the same training rows.

    Where none is kept, everybody gets the prevalence of the training rows.

    Args:
        rows, y, columns, orders, level: as `select_variables`.

    Raises:
        InputError: as `select_variables`.
    """
    selection = select_variables(rows, y, columns, orders, level=level)
    parts, handling, _ = encoded(rows, selection.kept, orders)
    left = {
        test.name: "not related to the outcome in training" if test.univariate else test.handling
        for test in selection.tests
        if not test.kept
    }
    return fit_encoded(rows, training_labels(y), parts, handling, left), selection


class OutOfFold(NamedTuple):
    """Baselines of a cross-validation.

    Attributes:
        probabilities: of every row, by the baseline of the other folds [rows].
        selections: fold → what was chosen for it; None where nothing was to be chosen.
    """

    probabilities: Floats
    selections: dict[int, Selection | None]


def out_of_fold_baseline(
    rows: Sequence[Row],
    y: ArrayLike,
    folds: Sequence[int],
    columns: Sequence[str],
    orders: Mapping[str, Sequence[str]] | None = None,
    *,
    select: bool = True,
    level: float = LEVEL,
) -> OutOfFold:
    """Every row's probability by a baseline that was chosen and fitted without its fold.

    Args:
        rows, y, columns, orders, level: as `select_variables`; one row a patient.
        folds: of every row.
        select: choose among the columns in every fold anew; else all are used.

    Raises:
        InputError: another number of folds than rows; as `select_variables` in any fold.
    """
    labels, places = np.asarray(y), np.asarray(folds)
    if not len(rows) == len(labels) == len(places):
        raise InputError(f"{len(rows)} rows, {len(labels)} labels and {len(places)} folds")
    found = np.full(len(rows), np.nan)
    selections: dict[int, Selection | None] = {}
    for fold in sorted(set(places.tolist())):
        inside = np.flatnonzero(places == fold)
        outside = np.flatnonzero(places != fold)
        others, own = ([rows[int(i)] for i in side] for side in (outside, inside))
        chosen: Selection | None = None
        if select:
            model, chosen = fit_selected_baseline(
                others, labels[outside], columns, orders, level=level
            )
        else:
            model = fit_baseline(others, labels[outside], columns, orders)
        selections[fold] = chosen
        found[inside] = model.probability(own)
    return OutOfFold(found, selections)


def _p_value(labels: Floats, block: Sequence[Floats], others: Sequence[Floats]) -> float:
    """Of the likelihood ratio of the model with ``block`` beside ``others`` and without it."""
    without = _independent(others, len(labels))
    whole = _independent([without, *block], len(labels))
    tested = range(without.shape[1], whole.shape[1])
    if not tested:  # all that it says is in the others together
        return 1.0
    try:
        return likelihood_ratio(labels, whole, tested).p_value
    except InputError:  # separated
        return likelihood_ratio(labels, whole, tested, method="firth").p_value


def _independent(blocks: Sequence[Floats], rows: int) -> Floats:
    """The columns of the blocks that are no combination of those before them and a constant."""
    kept = np.ones((rows, 1))
    for column in np.column_stack([np.empty((rows, 0)), *blocks]).T:
        more = np.column_stack([kept, column / max(float(np.abs(column).max()), 1e-300)])
        if np.linalg.matrix_rank(more) == more.shape[1]:
            kept = more
    return kept[:, 1:]
