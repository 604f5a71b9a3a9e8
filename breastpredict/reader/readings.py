"""Readings as they are kept: a folder each, never overwritten, with the contour and a record."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from breastpredict import RESEARCH_USE_ONLY, __version__
from breastpredict.errors import InputError
from breastpredict.files import write_folder
from breastpredict.reader.plan import Plan, moment

FORMAT = "breastpredict reading 1"
RECORD, MASK = "reading.json", "mask.dcm"

Point = tuple[float, float, float]

_FOLDER = re.compile(r"([0-9a-f]{16})(?:-(\d+))?")


@dataclass(frozen=True)
class Reading:
    """One contour of one case by one reader.

    Attributes:
        study: of the plan.
        reader, session, case: which reading.
        started, ended: ISO 8601 with time zone.
        seconds: time on the case, pauses left out.
        mask: file name of the contour beside the record; empty where the reader saw no lesion.
        mask_sha256: of that file.
        seed_point_lps: where the reader clicked (LPS mm); None without.
        box_lps: the box the reader drew; None without.
        edited_fraction: part of the automatic contour that the reader changed: voxels in one of
            automatic and final contour, of those in either; None without an automatic contour.
        washout_override: why the wash-out was cut short; empty where it was kept.
        resumed: how often the reading went on after an interruption.
        place: 1-based in the session's order.
        resampled: the contour came on another grid.
        source: "session" or "import".
        comment: the reader's.
        path: its folder; not part of the record.
    """

    study: str
    reader: str
    session: int
    case: str
    started: str
    ended: str
    seconds: float
    mask: str
    mask_sha256: str
    seed_point_lps: Point | None = None
    box_lps: tuple[Point, Point] | None = None
    edited_fraction: float | None = None
    washout_override: str = ""
    resumed: int = 0
    place: int = 0
    resampled: bool = False
    source: str = "session"
    comment: str = ""
    path: Path = field(default=Path(), repr=False, compare=False)

    @property
    def empty(self) -> bool:
        """Whether the reader saw no lesion."""
        return not self.mask

    @property
    def mask_path(self) -> Path:
        return self.path / self.mask

    @property
    def key(self) -> tuple[str, int, str]:
        """Reader, session and case."""
        return self.reader, self.session, self.case


def session_folder(plan: Plan, reader: str, session: int) -> Path:
    """Where a reader's session is kept."""
    return plan.folder / "readings" / reader / f"session-{session}"


def next_folder(plan: Plan, reader: str, session: int, case: str) -> Path:
    """Where the next reading of a case goes: an earlier one is never overwritten."""
    folder = session_folder(plan, reader, session)
    place, number = folder / case, 1
    while place.exists():
        number += 1
        place = folder / f"{case}-{number}"
    return place


def write_reading(plan: Plan, reading: Reading, mask: Path | None) -> Reading:
    """Keep a reading; it appears whole or not at all.

    Args:
        plan: of the study.
        reading: the record; ``mask`` and ``mask_sha256`` are filled in here.
        mask: the contour's file, which is moved; None for no lesion.
    """
    target = next_folder(plan, reading.reader, reading.session, reading.case)
    content = asdict(reading)
    content.pop("path")
    content["mask"] = content["mask_sha256"] = ""
    with write_folder(target) as folder:
        if mask is not None:
            content["mask"] = MASK if mask.suffix == ".dcm" else f"mask{''.join(mask.suffixes)}"
            content["mask_sha256"] = _digest(mask)
            mask.replace(folder / content["mask"])
        head = {"format": FORMAT, "software": f"BreastPredict {__version__}"}
        text = json.dumps({**head, "note": RESEARCH_USE_ONLY, **content}, indent=1)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    return read_reading(target)


def read_reading(folder: Path) -> Reading:
    """A reading that was kept.

    Raises:
        InputError: it is damaged, or its contour was changed.
    """
    path = folder / RECORD
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        for name in ("software", "note"):
            content.pop(name, None)
        point, box = content["seed_point_lps"], content["box_lps"]
        content["seed_point_lps"] = None if point is None else _point(point)
        content["box_lps"] = None if box is None else (_point(box[0]), _point(box[1]))
        reading = Reading(**content, path=folder)
        moment(reading.started), moment(reading.ended)
        if Path(reading.mask).name != reading.mask:
            raise ValueError("a contour elsewhere")
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError("The record of a reading is damaged", path=path) from error
    if reading.mask:
        if not reading.mask_path.is_file():
            raise InputError("The contour of a reading is missing", path=reading.mask_path)
        if _digest(reading.mask_path) != reading.mask_sha256:
            raise InputError("The contour of a reading was changed", path=reading.mask_path)
    return reading


@dataclass(frozen=True)
class Readings:
    """All readings of a plan.

    Attributes:
        first: (reader, session, case) → the reading that counts: the first that ended.
        duplicates: later readings of the same case in the same session; they count for nothing.
        damaged: what could not be read, in words.
    """

    first: dict[tuple[str, int, str], Reading]
    duplicates: tuple[Reading, ...]
    damaged: tuple[str, ...]

    def of(self, reader: str, session: int) -> dict[str, Reading]:
        """Case → reading of a session."""
        return {
            case: reading
            for (who, when, case), reading in self.first.items()
            if (who, when) == (reader, session)
        }


def read_all(plan: Plan) -> Readings:
    """Every reading below a plan."""
    found: dict[tuple[str, int, str], list[Reading]] = {}
    damaged: list[str] = []
    for reader, session, case, folder in _folders(plan):
        try:
            reading = read_reading(folder)
            if reading.key != (reader, session, case) or reading.study != plan.study:
                raise InputError("A reading lies in the place of another", path=folder)
        except InputError as error:
            where = folder.relative_to(plan.folder).as_posix()
            damaged.append(f"{where}: {error.problem.rstrip('.')}")
            continue
        found.setdefault(reading.key, []).append(reading)
    first, duplicates = {}, []
    for key, several in sorted(found.items()):
        ordered = sorted(several, key=lambda one: (moment(one.ended), one.path.name))
        first[key] = ordered[0]
        duplicates += ordered[1:]
    return Readings(first, tuple(duplicates), tuple(damaged))


def _folders(plan: Plan) -> Iterator[tuple[str, int, str, Path]]:
    for reader in plan.readers:
        for session in range(1, plan.sessions + 1):
            folder = session_folder(plan, reader, session)
            for place in sorted(folder.iterdir()) if folder.is_dir() else ():
                match = _FOLDER.fullmatch(place.name)
                if match is not None and match[1] in plan.cases:
                    yield reader, session, match[1], place


def _point(values: Any) -> Point:
    x, y, z = map(float, values)
    return x, y, z


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
