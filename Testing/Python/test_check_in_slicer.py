"""Docs/check-in-slicer.md speaks of the module as it is."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = "Docs/check-in-slicer.md"


def test_every_line_to_tick_says_what_must_be_seen(repository: Path) -> None:
    lines = (repository / PAGE).read_text("utf-8").splitlines()
    to_tick = [line for line in lines if line.startswith("- [ ] ")]
    assert to_tick == [line for line in lines if line.startswith("-")]
    assert all(re.fullmatch(r"- \[ \] .+ → .+\.", line) for line in to_tick)


def test_every_label_of_the_page_is_one_of_the_module(repository: Path) -> None:
    folders = [repository / name for name in ("HER2Predict", "PCRPredict", "BreastPredictLib")]
    sources = [
        path for folder in folders for kind in ("ui", "py") for path in folder.rglob(f"*.{kind}")
    ]
    shown = {
        text
        for path in sources
        for text in re.findall(
            r"<string>([^<]+)</string>|_\(\s*\"([^\"]+)\"", path.read_text("utf-8")
        )
        for text in text
    }
    labels = re.findall(r"\*\*([^*]+)\*\*", (repository / PAGE).read_text("utf-8"))
    assert set(labels) - {"bold"} <= shown
