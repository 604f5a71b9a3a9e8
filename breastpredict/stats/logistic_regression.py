"""Logistic regression with the table that papers print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from scipy.special import expit, ndtr
from scipy.stats import chi2

from breastpredict.errors import InputError
from breastpredict.stats._checks import (
    Bools,
    Floats,
    binary_labels,
    confidence_level,
    normal_quantile,
)
from breastpredict.stats._likelihood import Fit, maximise, profile_limits
from breastpredict.stats.results import Estimate, TestResult

INTERCEPT = "intercept"
_EVENTS_PER_COEFFICIENT = 10


class LogisticRow(NamedTuple):
    """One line of the table.

    Attributes:
        name: the variable.
        coefficient: log odds ratio per unit.
        standard_error: from the information at the estimate.
        odds_ratio: exp(coefficient) with its interval.
        z: Wald statistic, coefficient / standard error.
        p_value: two-sided: Wald's, or with profile limits that of the likelihood ratio.
    """

    name: str
    coefficient: float
    standard_error: float
    odds_ratio: Estimate
    z: float
    p_value: float


class LogisticResult(NamedTuple):
    """A fitted logistic model.

    Attributes:
        rows: the intercept, then the variables in their order.
        covariance: of the coefficients [rows, rows].
        n: number of cases.
        events: number of positive cases.
        log_likelihood: at the estimate (penalised with Firth's method).
        null_log_likelihood: of the intercept alone (penalised likewise).
        warnings: that there are few events for so many variables.
    """

    rows: tuple[LogisticRow, ...]
    covariance: Floats
    n: int
    events: int
    log_likelihood: float
    null_log_likelihood: float
    warnings: tuple[str, ...]

    @property
    def coefficients(self) -> Floats:
        """Coefficients [rows], the intercept first."""
        return np.array([row.coefficient for row in self.rows])

    def predict(self, X: ArrayLike) -> Floats:
        """Probability of the positive class [cases], from variables [cases, variables].

        Raises:
            InputError: another number of variables than fitted, or a value is missing.
        """
        x = _variables(X)
        if x.shape[1] != len(self.rows) - 1:
            raise InputError(
                f"The model has {len(self.rows) - 1} variables but {x.shape[1]} are given"
            )
        beta = self.coefficients
        return np.asarray(expit(beta[0] + x @ beta[1:]), dtype=np.float64)


def logistic(
    y: ArrayLike,
    X: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    interval: Literal["profile", "wald"] = "profile",
    method: Literal["ml", "firth"] = "ml",
    level: float = 0.95,
) -> LogisticResult:
    """Logistic regression: logit P(y = 1) = β₀ + Σ βᵢ xᵢ.

    Args:
        y: labels [cases], 1 = positive.
        X: variables [cases, variables], or [cases] of one; without a column of ones.
        names: names of the variables; x1, x2 … when left out.
        interval: ``"profile"``: limits where the likelihood ratio against the estimate reaches
            the χ² quantile (Venzon & Moolgavkar, Appl Stat 1988;37:87), better with few events;
            ``"wald"``: coefficient ± z × standard error.
        method: ``"ml"``: maximum likelihood; ``"firth"``: Firth's penalised likelihood, finite
            under separation and less biased with few events.
        level: confidence level.

    Raises:
        InputError: labels or variables cannot be used; a variable is constant or a combination of
            others; with ``"ml"``, the variables separate the classes so that estimates are
            infinite (found by linear programming: Konis, DPhil thesis, Oxford 2007).
    """
    labels = binary_labels(y)
    confidence_level(level)
    if interval not in ("profile", "wald") or method not in ("ml", "firth"):
        raise InputError(
            f"There is no logistic interval {interval!r} with method {method!r}",
            remedy="Use 'profile' or 'wald', with 'ml' or 'firth'",
        )
    variables = _variables(X)
    if len(variables) != labels.size:
        raise InputError(
            f"There are {labels.size} labels but {len(variables)} rows of variables",
            remedy="Give one row per label",
        )
    titles = [INTERCEPT, *_titles(names, variables.shape[1])]
    scale = np.concatenate([[1.0], np.maximum(np.abs(variables).max(axis=0), 1e-300)])
    x = np.column_stack([np.ones(labels.size), variables]) / scale
    _check_rank(x, titles)
    firth = method == "firth"
    if not firth:
        _check_separation(labels, x, titles)
    response = labels.astype(np.float64)
    fit = maximise(x, response, firth=firth)
    if not fit.converged:
        raise InputError(
            "The logistic model did not converge", remedy="Use fewer variables or method='firth'"
        )
    rows = tuple(
        _row(name, fit, column, float(scale[column]), x, response, interval, firth, level)
        for column, name in enumerate(titles)
    )
    events = int(labels.sum())
    return LogisticResult(
        rows,
        fit.covariance / np.outer(scale, scale),
        labels.size,
        events,
        fit.log_likelihood,
        maximise(x[:, :1], response, firth=firth).log_likelihood,
        _few_events(min(events, labels.size - events), len(titles) - 1),
    )


def likelihood_ratio(
    y: ArrayLike,
    X: ArrayLike,
    tested: Sequence[int],
    *,
    method: Literal["ml", "firth"] = "ml",
) -> TestResult:
    """Whether some variables together say anything beside the others, as the levels of a category.

    Twice the difference of the log likelihoods with the tested coefficients free and at zero, by
    the χ² distribution with as many degrees of freedom (Hosmer, Lemeshow & Sturdivant, Applied
    Logistic Regression, 3rd ed., 2013, §3.3). With ``"firth"`` both are penalised by the same,
    whole design (Heinze & Schemper, Stat Med 2002;21:2409).

    Args:
        y: labels [cases], 1 = positive.
        X: variables [cases, variables], or [cases] of one; without a column of ones.
        tested: places of the tested variables, at least one.
        method: as in ``logistic``.

    Returns:
        The statistic, its p-value, and the difference of the log likelihoods.

    Raises:
        InputError: as ``logistic``; nothing or a variable that is not there is tested.
    """
    labels = binary_labels(y)
    variables = _variables(X)
    if len(variables) != labels.size:
        raise InputError(
            f"There are {labels.size} labels but {len(variables)} rows of variables",
            remedy="Give one row per label",
        )
    if not tested or not set(tested) <= set(range(variables.shape[1])):
        raise InputError(f"The tested variables must be among 0 to {variables.shape[1] - 1}")
    scale = np.maximum(np.abs(variables).max(axis=0), 1e-300)
    x = np.column_stack([np.ones(labels.size), variables / scale])
    titles = [INTERCEPT, *_titles(None, variables.shape[1])]
    _check_rank(x, titles)
    if method == "ml":
        _check_separation(labels, x, titles)
    free = np.ones(x.shape[1], dtype=bool)
    free[[column + 1 for column in tested]] = False
    response, firth = labels.astype(np.float64), method == "firth"
    whole = maximise(x, response, firth=firth)
    without = maximise(x, response, firth=firth, free=free)
    if not whole.converged or not without.converged:
        raise InputError(
            "The logistic model did not converge", remedy="Use fewer variables or method='firth'"
        )
    difference = max(0.0, whole.log_likelihood - without.log_likelihood)
    p_value = float(chi2.sf(2.0 * difference, len(set(tested))))
    return TestResult(2.0 * difference, p_value, difference)


def _row(
    name: str,
    fit: Fit,
    column: int,
    scale: float,
    x: Floats,
    response: Floats,
    interval: str,
    firth: bool,
    level: float,
) -> LogisticRow:
    coefficient = float(fit.coefficients[column])
    error = float(np.sqrt(fit.covariance[column, column]))
    z = coefficient / error
    if interval == "wald":
        half = normal_quantile(level) * error
        low, high = coefficient - half, coefficient + half
        p_value = float(2.0 * ndtr(-abs(z)))
    else:
        try:
            low, high = profile_limits(x, response, fit, column, level, firth=firth)
        except ArithmeticError:
            raise InputError(
                f"The profile likelihood of {name} was not found", remedy="Use interval='wald'"
            ) from None
        without = fit.coefficients.copy()
        without[column] = 0.0
        free = np.arange(x.shape[1]) != column
        null = maximise(x, response, firth=firth, free=free, start=without)
        deviance = 2.0 * max(0.0, fit.log_likelihood - null.log_likelihood)
        p_value = float(chi2.sf(deviance, 1))
    with np.errstate(over="ignore"):
        ratio, low, high = (float(np.exp(b / scale)) for b in (coefficient, low, high))
    return LogisticRow(
        name, coefficient / scale, error / scale, Estimate(ratio, low, high), z, p_value
    )


def _variables(X: ArrayLike) -> Floats:
    try:
        x = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            "The variables are not numbers", remedy="Code categories as 0 and 1"
        ) from None
    if x.ndim == 1:
        x = x[:, np.newaxis]
    if x.ndim != 2 or x.size == 0:
        raise InputError("The variables must be a non-empty table: cases by variables")
    if not np.isfinite(x).all():
        raise InputError(
            f"{int((~np.isfinite(x)).any(axis=1).sum())} cases have a missing variable",
            remedy="Leave those cases out, or fill them in from the training cases",
        )
    return x


def _titles(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [f"x{i + 1}" for i in range(count)]
    if len(names) != count:
        raise InputError(f"There are {count} variables but {len(names)} names")
    return list(names)


def _check_rank(x: Floats, titles: Sequence[str]) -> None:
    for column in range(1, x.shape[1]):
        if np.linalg.matrix_rank(x[:, : column + 1]) <= column:
            constant = np.ptp(x[:, column]) == 0.0
            problem = "is constant" if constant else "is a combination of the variables before it"
            raise InputError(f"The variable {titles[column]} {problem}", remedy="Leave it out")


def _check_separation(labels: Bools, x: Floats, titles: Sequence[str]) -> None:
    if not _separated(labels, x):
        return
    kept = list(range(1, x.shape[1]))
    for column in kept.copy():  # those that are not needed for it are not to blame
        fewer = [c for c in kept if c != column]
        if fewer and _separated(labels, x[:, [0, *fewer]]):
            kept = fewer
    raise InputError(
        f"The classes are separated by {', '.join(titles[c] for c in kept)}: "
        "the estimate is infinite",
        remedy="Use method='firth', or leave the variable out",
    )


def _separated(labels: Bools, x: Floats) -> bool:
    """Whether some combination of the variables never points to the wrong class."""
    signed = x * np.where(labels, 1.0, -1.0)[:, np.newaxis]
    found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(x)), bounds=(-1.0, 1.0))
    return found.status == 0 and -float(found.fun) > 1e-6 * len(x)


def _few_events(fewer: int, variables: int) -> tuple[str, ...]:
    if fewer < _EVENTS_PER_COEFFICIENT * variables:
        return (
            f"{fewer} cases of the smaller class for {variables} variables: fewer than "
            f"{_EVENTS_PER_COEFFICIENT} each, the estimates are likely too large",
        )
    return ()
