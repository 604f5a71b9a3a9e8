"""What a model must beat: a logistic regression on a table of known variables.

Everything that is learnt from data (which columns are numbers, the categories, the value put in for
a missing one, centre and spread, the coefficients, the threshold) is learnt from the training rows
alone, in one place, so that no test row can have a part in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from breastpredict.errors import InputError
from breastpredict.stats import youden_threshold

Floats = NDArray[np.float64]
Row = Mapping[str, str]

FEWEST_PER_CLASS = 5
"""Training rows of each class below which no baseline is fitted."""
_RAREST = 5  # a category of fewer training rows is put with the other rare and unknown ones
_UNKNOWN = ("", "NA", "na", "N/A", "NaN", "nan", "unknown")
_PENALTY = 1.0


@dataclass(frozen=True)
class Column:
    """How one column becomes numbers; all of it from the training rows.

    Attributes:
        name: in the table.
        levels: of a category, without the reference; None for a number.
        other: a category has rare or unknown values, which get an indicator.
        fill: of a number: the median, for missing ones.
        marked: of a number: some are missing, which gets an indicator.
        order: of ordered words: these from the lowest; the number is the place in it.
        reference: of a category: the most frequent, which all others are compared with.
    """

    name: str
    levels: tuple[str, ...] | None
    reference: str
    other: bool
    fill: float
    marked: bool
    order: tuple[str, ...] = ()

    def __call__(self, rows: Sequence[Row]) -> Floats:
        """The column's numbers [rows, k]."""
        cells = [row.get(self.name, "").strip() for row in rows]
        if self.levels is None:
            numbers = np.array([_number(cell, self.order) for cell in cells])
            missing = np.isnan(numbers)
            out = [np.where(missing, self.fill, numbers)]
            return np.column_stack(out + [missing.astype(float)] * self.marked)
        known = {self.reference, *self.levels}
        out = [np.array([cell == level for cell in cells], float) for level in self.levels]
        if self.other:
            out.append(np.array([cell not in known for cell in cells], float))
        return np.column_stack(out) if out else np.empty((len(rows), 0))


@dataclass(frozen=True)
class Baseline:
    """A ridge logistic regression fitted on training rows.

    Attributes:
        columns: names used.
        dropped: name → why not used.
        handling: one line a column: how it was made a number.
        coefficients: on the standardised numbers, the intercept first.
        threshold: Youden's on the training rows' own probabilities; None where they are all equal.
        rows: number of training rows.
        positives: of them, of the positive class.
    """

    columns: tuple[str, ...]
    dropped: Mapping[str, str]
    handling: tuple[str, ...]
    coefficients: tuple[float, ...]
    threshold: float | None
    rows: int
    positives: int
    _parts: tuple[Column, ...]
    _centre: Floats
    _spread: Floats

    def probability(self, rows: Sequence[Row]) -> Floats:
        """Probability of the positive class [rows], at the training prevalence."""
        x = np.column_stack([np.empty((len(rows), 0)), *(part(rows) for part in self._parts)])
        x = (x - self._centre) / self._spread
        out: Floats = expit(self.coefficients[0] + x @ np.array(self.coefficients[1:]))
        return out


def fit_baseline(
    rows: Sequence[Row],
    y: ArrayLike,
    columns: Sequence[str],
    orders: Mapping[str, Sequence[str]] | None = None,
) -> Baseline:
    """Fit a baseline on training rows.

    Args:
        rows: the training rows, column name to cell; nobody else's.
        y: labels [rows], 1 = positive.
        columns: names to use. A column is a number where all its known training cells are; else a
            category. A column that is constant or unknown in training is dropped, with the reason.
        orders: column → its words from the lowest to the highest: such a column becomes one number,
            the place in the order, instead of a category. Another word counts as missing.

    Returns:
        L2 penalty of 1 on the coefficients of the standardised columns, none on the intercept (the
        default of scikit-learn, C = 1): with few patients a plain fit separates them perfectly
        and is a poorer rival.

    Raises:
        InputError: too few training rows of a class, or no usable column.
    """
    labels = training_labels(y)
    parts, handling, dropped = encoded(rows, columns, orders)
    if not parts:
        raise InputError("No column says anything in the training rows")
    return fit_encoded(rows, labels, parts, handling, dropped)


def training_labels(y: ArrayLike) -> Floats:
    """The labels as numbers.

    Raises:
        InputError: too few of a class.
    """
    labels = np.asarray(y, dtype=np.float64)
    counts = (int((labels == 0).sum()), int((labels == 1).sum()))
    if min(counts) < FEWEST_PER_CLASS:
        raise InputError(
            f"There are {counts[1]} positive and {counts[0]} negative training rows; a baseline "
            f"needs {FEWEST_PER_CLASS} of each"
        )
    return labels


def encoded(
    rows: Sequence[Row], columns: Sequence[str], orders: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[Column], list[str], dict[str, str]]:
    """How columns become numbers, by the training rows; a line on each; and why others do not."""
    parts: list[Column] = []
    handling: list[str] = []
    dropped: dict[str, str] = {}
    for name in columns:
        cells = [row.get(name, "").strip() for row in rows]
        column, line = _column(name, cells, tuple((orders or {}).get(name, ())))
        if column is None:
            dropped[name] = line
        else:
            parts.append(column)
            handling.append(line)
    return parts, handling, dropped


def fit_encoded(
    rows: Sequence[Row],
    labels: Floats,
    parts: Sequence[Column],
    handling: Sequence[str],
    dropped: Mapping[str, str],
) -> Baseline:
    """Fit on columns that are encoded; with none of them everybody gets the prevalence."""
    x = np.column_stack([np.empty((len(rows), 0)), *(part(rows) for part in parts)])
    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    coefficients = _ridge((x - centre) / spread, labels)
    probabilities = expit(coefficients[0] + (x - centre) / spread @ coefficients[1:])
    try:
        threshold = youden_threshold(labels, probabilities)
    except InputError:
        threshold = None
    return Baseline(
        tuple(part.name for part in parts),
        dropped,
        tuple(handling),
        tuple(coefficients.tolist()),
        threshold,
        len(rows),
        int(labels.sum()),
        tuple(parts),
        centre,
        spread,
    )


def _column(name: str, cells: Sequence[str], order: tuple[str, ...]) -> tuple[Column | None, str]:
    """The column, and how it is handled; None and why it is not used."""
    known = [cell for cell in cells if cell not in _UNKNOWN and (cell in order or not order)]
    missing = len(cells) - len(known)
    if not known:
        return None, "not known for any training patient"
    numbers = np.array([_number(cell, order) for cell in known])
    if np.isfinite(numbers).all():
        if np.ptp(numbers) == 0:
            return None, "the same for every training patient"
        fill = float(np.median(numbers))
        text = f"{name}: {' < '.join(order)}" if order else f"{name}: number"
        if missing:
            text += f"; {missing} missing, filled with the training median {fill:g} and marked"
        return Column(name, None, "", False, fill, missing > 0, order), text
    counts = Counter(known)
    often = [level for level, count in counts.most_common() if count >= _RAREST]
    rare = len(known) - sum(counts[level] for level in often)
    if not often or (len(often) == 1 and rare + missing < _RAREST):
        return None, f"fewer than two values with {_RAREST} training patients"
    text = f"{name}: {', '.join(often[1:]) or 'other'} against {often[0]}"
    if rare + missing:
        text += f"; rare or unknown values together ({rare + missing})"
    return Column(name, tuple(often[1:]), often[0], rare + missing > 0, 0.0, False), text


def _number(cell: str, order: Sequence[str]) -> float:
    if order:
        return float(order.index(cell)) if cell in order else float("nan")
    try:
        value = float(cell)
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def _ridge(x: Floats, y: Floats) -> Floats:
    """Coefficients that minimise log-loss summed over rows + half the squared coefficients."""
    design = np.column_stack([np.ones(len(x)), x])
    penalty = np.r_[0.0, np.full(x.shape[1], _PENALTY)]

    def loss(beta: Floats) -> tuple[float, Floats]:
        z = design @ beta
        value = float(np.sum(np.logaddexp(0, z) - y * z) + 0.5 * penalty @ beta**2)
        return value, design.T @ (expit(z) - y) + penalty * beta

    found = minimize(
        loss, np.zeros(design.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-6}
    )
    out: Floats = found.x
    return out
