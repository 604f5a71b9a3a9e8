"""The inclusion flow diagram of a study, counted from its own tables (STROBE, item 13c)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from breastpredict.her2 import CLASSES, Her2Case
from breastpredict.learning.site import SitePatient
from breastpredict.study.case_output import templates

INDETERMINATE = "IHC 2+ without ISH: indeterminate"
NO_MASK = "no tumour mask"

_Case = TypeVar("_Case", bound=SitePatient)


@dataclass(frozen=True)
class CohortFlow:
    """How many patients of one cohort went where.

    Attributes:
        cohort: its name.
        patients: rows of the table.
        excluded: reason → patients that cannot be used; the first that holds counts.
        classes: class → patients of the rest.
        sets: set of a training ("train", "tuning", "validation", "external") → patients of the
            rest; empty where nothing was trained.
        failed: reason → patients of the rest that could not be predicted or were refused.
    """

    cohort: str
    patients: int
    excluded: Mapping[str, int]
    classes: Mapping[str, int]
    sets: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)

    @property
    def included(self) -> int:
        """Patients that are left after the exclusions."""
        return self.patients - sum(self.excluded.values())

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "included": self.included}


def inclusion_flow(
    cases: Sequence[Her2Case],
    sets: Mapping[str, str] | None = None,
    failed: Mapping[str, str] | None = None,
) -> list[CohortFlow]:
    """Count the flow of every cohort of HER2, in the order of the table.

    Args:
        cases: the cohort table.
        sets: patient → set, as a run's split.csv says.
        failed: patient → reason, of a batch's failures.csv.
    """
    return count_flow(cases, _exclusion, lambda case: str(case.her2), CLASSES, sets, failed)


def count_flow(
    cases: Sequence[_Case],
    exclusion: Callable[[_Case], str],
    class_of: Callable[[_Case], str],
    names: Sequence[str],
    sets: Mapping[str, str] | None = None,
    failed: Mapping[str, str] | None = None,
) -> list[CohortFlow]:
    """Count the flow of every cohort, in the order of the table.

    Args:
        cases: the cohort table.
        exclusion: why a case cannot be used, or "".
        class_of: class of a case that can.
        names: every class.
        sets: patient → set, as a run's split.csv says.
        failed: patient → reason, of a batch's failures.csv.
    """
    flows = []
    for cohort in dict.fromkeys(case.cohort for case in cases):
        members = [case for case in cases if case.cohort == cohort]
        excluded = Counter(filter(None, map(exclusion, members)))
        rest = [case for case in members if not exclusion(case)]
        classes = Counter(map(class_of, rest))
        into = Counter(_set(case, sets) for case in rest) if sets else Counter[str]()
        reasons = failed or {}
        lost = Counter(reasons[c.patient_id] for c in rest if c.patient_id in reasons)
        flows.append(
            CohortFlow(
                cohort=cohort,
                patients=len(members),
                excluded=dict(excluded),
                classes={name: classes[name] for name in names},
                sets=dict(into),
                failed=dict(lost) if failed else {},
            )
        )
    return flows


def flow_svg(flows: Sequence[CohortFlow], prefix: str = "HER2-") -> str:
    """The diagram as SVG, one column a cohort; texts are escaped and broken to fit.

    Args:
        flows: the cohorts.
        prefix: of the names of the classes.
    """
    columns = [_boxes(flow, prefix) for flow in flows]
    rows = max(len(column) for column in columns)
    heights = [
        max((len(column[row]["lines"]) for column in columns if row < len(column)), default=1)
        for row in range(rows)
    ]
    tops, y = [], _GAP
    for lines in heights:
        tops.append(y)
        y += lines * _LINE + 2 * _PAD + _GAP
    for column in columns:
        for row, box in enumerate(column):
            box["top"] = tops[row]
            box["height"] = len(box["lines"]) * _LINE + 2 * _PAD
    return (
        templates()
        .get_template("flow.svg.j2")
        .render(
            columns=columns,
            width=len(columns) * (_WIDTH + _GAP) + _GAP,
            height=y,
            box_width=_WIDTH,
            gap=_GAP,
            line=_LINE,
            pad=_PAD,
        )
    )


_WIDTH, _LINE, _PAD, _GAP = 260, 18, 10, 26
_ASIDE = 40  # a box that stands aside is so much narrower, as the template draws it
_LETTER = 7.4  # pixels, on average, of the widest common sans-serif at the template's size


def _exclusion(case: Her2Case) -> str:
    """Why a case cannot be used, or nothing."""
    if case.her2 is None:
        return INDETERMINATE
    return "" if case.segmentation is not None else NO_MASK


def _set(case: SitePatient, sets: Mapping[str, str]) -> str:
    return sets.get(case.patient_id) or (case.split or "not in the run")


def _boxes(flow: CohortFlow, prefix: str) -> list[dict[str, Any]]:
    """Boxes from top to bottom: all, excluded (aside), included, sets, failed (aside)."""
    boxes = [_box(flow.cohort, {"patients": flow.patients})]
    if flow.excluded:
        boxes.append(_box("Excluded", flow.excluded, aside=True))
    counts = {f"{prefix}{name}": number for name, number in flow.classes.items()}
    boxes.append(_box(f"Included: {flow.included}", counts))
    if flow.sets:
        boxes.append(_box("Sets", flow.sets))
    if flow.failed:
        boxes.append(_box("Without a prediction", flow.failed, aside=True))
        boxes.append(_box("Predicted", {"patients": flow.included - sum(flow.failed.values())}))
    return boxes


def _box(title: str, counts: Mapping[str, int], aside: bool = False) -> dict[str, Any]:
    from textwrap import wrap

    letters = int((_WIDTH - 2 * _PAD - (_ASIDE if aside else 0)) / _LETTER)
    lines = [(line, True) for line in wrap(title, letters - 4) or [" "]]
    for name, number in counts.items():
        lines += [(line, False) for line in wrap(f"{name}: {number}", letters)]
    return {"lines": lines, "aside": aside}
