"""Which segment of a file is the tumour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from breastpredict.errors import InputError

TUMOUR_CODES = {
    ("SCT", "108369006"),  # Neoplasm
    ("SCT", "4147007"),  # Mass
    ("SCT", "86049000"),  # Neoplasm, primary
    ("SCT", "14799000"),  # Neoplasm, secondary
    ("SCT", "367651003"),  # Malignant neoplasm
    ("SCT", "254837009"),  # Malignant neoplasm of breast
    ("SCT", "52988006"),  # Lesion
    ("SRT", "M-80003"),
    ("SRT", "M-03000"),
    ("SRT", "M-80000"),
    ("SRT", "M-8FFFF"),
}
"""Coded types that mean the tumour (CID 7159 and its older SRT codes)."""

_SHOWN = 8


@dataclass(frozen=True)
class Segment:
    """A segment, structure or label value.

    Attributes:
        number: as the file counts it.
        name: empty where it has none.
        code: (coding scheme, value) of its type; empty strings where it has none.
        declared: its file says by other means than a code that it is the tumour.
    """

    number: int
    name: str = ""
    code: tuple[str, str] = ("", "")
    declared: bool = False

    @property
    def is_tumour(self) -> bool:
        return self.declared or self.code in TUMOUR_CODES


def choose_segment(segments: Sequence[Segment], wanted: str | None, path: Path) -> Segment:
    """The segment asked for by name or number; else the only one; else the only tumour.

    Raises:
        InputError: none or several fit.
    """
    shown = [f"{s.number}: {s.name or 'no name'}" for s in segments[:_SHOWN]]
    more = len(segments) - _SHOWN
    names = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    if wanted is not None:
        hits = [s for s in segments if s.name == wanted]
        hits = hits or [s for s in segments if str(s.number) == wanted]
        if len(hits) != 1:
            raise InputError(
                f"There is {'no' if not hits else 'more than one'} segment '{wanted}'; "
                f"the file has {names or 'none'}",
                path=path,
            )
        return hits[0]
    if len(segments) == 1:
        return segments[0]
    hits = [s for s in segments if s.is_tumour]
    if len(hits) == 1:
        return hits[0]
    raise InputError(
        f"It is unclear which segment is the tumour: {names or 'there is none'}",
        path=path,
        remedy="Say which with --segment",
    )
