"""The review page of a results folder: every case in one table, to be opened without a server.

The page holds the tables' rows as data and shows them as text; what stands in them cannot become
HTML, and the page's policy lets no other script run than its own.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup
from PIL import Image

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__
from breastpredict.files import write_atomic, write_text
from breastpredict.study.case_output import common, templates
from breastpredict.study.results import read_results

PAGE, PICTURES = "review.html", "review"
_SIDE = (264, 192)  # shown at half of it, for screens with twice the pixels
_KEY = re.compile(r"[0-9a-f]{16}")
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of the page.

    Attributes:
        name: in predictions.csv.
        title: above it.
        kind: how it is shown; a score stands beside its threshold.
        threshold: the threshold's column.
    """

    name: str
    title: str
    kind: Literal["text", "number", "score"] = "number"
    threshold: str = ""


@dataclass(frozen=True)
class Layout:
    """What the page of a system shows.

    Attributes:
        system: its name.
        title: of the page.
        table: columns of predictions.csv.
        output: column of predictions.csv that cases are chosen by, and its title.
        words: value of that column → what the page calls it.
        columns: after picture, case, cohort, status and output.
        explained: a sentence that tells what the numbers are.
    """

    system: str
    title: str
    table: Sequence[str]
    output: tuple[str, str]
    words: Mapping[str, str]
    columns: Sequence[Column]
    explained: str


def write_review(out: str | os.PathLike[str], layout: Layout, *, identifiers: bool = False) -> Path:
    """Write ``OUT/review.html`` and its small pictures, ``OUT/review/KEY.jpg``.

    A picture is made anew only where the case's has changed.

    Args:
        out: the results folder.
        layout: of the system that made it.
        identifiers: show the cohort table's identifiers, and reasons with the paths in them.

    Returns:
        The page.

    Raises:
        InputError: no such folder, no tables in it, or tables of another system.
        OSError: the folder cannot be written.
    """
    folder = Path(out)
    predictions, failures = read_results(folder, layout.system, layout.table)
    rows = [_predicted(folder, row, layout) for row in predictions]
    rows += [_failed(folder, row, layout, identifiers) for row in failures]
    for shown, row in zip(rows, (*predictions, *failures), strict=True):
        if identifiers:
            shown["patient"] = row["patient_id"]
        names = ("case_key", "patient", "cohort", "output", "why")
        shown["searched"] = " ".join(shown.get(name, "") for name in names)
    _draw(folder, rows)
    columns = [
        {"name": "picture", "title": "", "kind": "picture"},
        {"name": "case_key", "title": "Case", "kind": "case"},
        *([{"name": "patient", "title": "Patient", "kind": "text"}] if identifiers else []),
        {"name": "cohort", "title": "Cohort", "kind": "text"},
        {"name": "status", "title": "Status", "kind": "status"},
        {"name": "output", "title": layout.output[1], "kind": "output"},
        *(vars(column) for column in layout.columns),
        {"name": "why", "title": "Remarks", "kind": "why"},
    ]
    counts = Counter(row["status"] for row in rows)
    synthetic = any(row["synthetic"] == "1" for row in predictions) or any(
        _said_synthetic(folder / row["folder"]) for row in rows if row["status"] == "refused"
    )
    style, script = _source("style.css.j2") + _source("review.css.j2"), _source("review.js.j2")
    page = (
        templates()
        .get_template("review.html.j2")
        .render(
            title=layout.title,
            output=layout.output[1],
            explained=layout.explained,
            note=RESEARCH_USE_ONLY,
            synthetic_note=SYNTHETIC_WARNING if synthetic else "",
            identifiers=identifiers,
            total=len(rows),
            counts={name: counts[name] for name in ("predicted", "refused", "failed")},
            has_failures=bool(failures),
            data={"columns": columns, "rows": rows},
            style=Markup(style),  # these two are files of this package
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
            software=f"BreastPredict {__version__}",
            date=common()["date"],
        )
    )
    write_text(folder / PAGE, page)
    return folder / PAGE


def _predicted(folder: Path, row: Mapping[str, str], layout: Layout) -> Row:
    value = row[layout.output[0]]
    return {
        **_shown(row, layout),
        "status": "predicted",
        "output": layout.words.get(value, value),
        "why": f"Gates overridden: {row['overrides']}" if row["overrides"] else "",
        **_links(folder, row["case_key"]),
    }


def _failed(folder: Path, row: Mapping[str, str], layout: Layout, identifiers: bool) -> Row:
    refused = row["stage"].startswith("gate ")
    reason = row["reason"]
    if not refused and not identifiers:
        reason = _anonymous(reason, row["patient_id"])
    return {
        **_shown(row, layout),
        "status": "refused" if refused else "failed",
        "output": "",
        "why": f"{row['stage']}: {reason}",
        **_links(folder, row["case_key"]),
    }


def _shown(row: Mapping[str, str], layout: Layout) -> Row:
    """What the page gets of a row, as the table has it, and no more."""
    names = {name for column in layout.columns for name in (column.name, column.threshold) if name}
    return {name: row.get(name, "") for name in ("case_key", "cohort", *sorted(names))}


def _links(folder: Path, key: str) -> Row:
    """Where the case's files are; only keys become addresses, whatever the table says."""
    there = _KEY.fullmatch(key) is not None and (folder / key).is_dir()
    report = there and (folder / key / "report.html").is_file()
    return {"folder": f"{key}/" if there else "", "report": report, "picture": None}


def _said_synthetic(case: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return bool(json.loads((case / "result.json").read_text("utf-8")).get("synthetic"))
    return False


def _anonymous(reason: str, patient: str) -> str:
    """A failure's reason without what may name the patient: paths and the identifier.

    What a library said in an error of its own may quote the file.
    """
    if reason.startswith("internal error: "):
        return ": ".join(reason.split(": ")[:2]) + " (see failures.csv)"
    text = re.sub(r" ?\[.*\]", "", reason)  # from the first bracket to the last: paths hold some
    text = re.sub(r"\S*[/\\]\S*", "…", text)
    return text.replace(patient, "…") if patient else text


def _draw(folder: Path, rows: Sequence[Row]) -> None:
    """Make the small pictures that are missing or old, and remove those of cases that have none."""
    pictures = folder / PICTURES
    wanted = set()
    for row in rows:
        if row["status"] == "predicted" and row["folder"]:
            row["picture"] = _thumbnail(folder / row["case_key"] / "overlay.png", pictures)
            if row["picture"] is not None:
                wanted.add(Path(row["picture"]["file"]).name)
    if pictures.is_dir():
        for path in pictures.glob("*.jpg"):
            if path.name not in wanted and _KEY.fullmatch(path.stem):
                path.unlink(missing_ok=True)


def _thumbnail(source: Path, pictures: Path) -> Row | None:
    """The small picture of a case; its time is its source's, so that a change is seen."""
    path = pictures / f"{source.parent.name}.jpg"
    made_at = source.stat().st_mtime_ns if source.is_file() else None
    if made_at is None:
        return None
    if not path.is_file() or path.stat().st_mtime_ns != made_at:
        try:
            with Image.open(source) as image:
                small = image.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None  # a damaged picture costs itself
        small.thumbnail(_SIDE, Image.Resampling.BOX)
        with write_atomic(path) as temporary:
            small.save(temporary, "JPEG", quality=82, comment=RESEARCH_USE_ONLY)
        os.utime(path, ns=(made_at, made_at))
    with Image.open(path) as image:
        width, height = image.size
    return {"file": f"{PICTURES}/{path.name}", "width": width // 2, "height": height // 2}


def _source(name: str) -> str:
    return templates().get_template(name).render()


def _hash(text: str) -> str:
    """As a Content-Security-Policy names an inline script or style (CSP3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
