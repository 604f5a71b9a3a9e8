"""The inclusion flow: nobody is lost between the table and the diagram."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from cli_runs import command
from hypothesis import given
from hypothesis import strategies as st

from breastpredict.her2 import CLASSES, Her2Case, her2_class
from breastpredict.study import flow_svg, inclusion_flow

STAINS = [("0", ""), ("1+", ""), ("2+", "-"), ("2+", "+"), ("2+", ""), ("3+", "")]


def case(number: int, cohort: str, stain: tuple[str, str], mask: bool, split: str = "") -> Her2Case:
    return Her2Case(
        patient_id=f"P{number}",
        cohort=cohort,
        split=split,
        study=Path("study"),
        segmentation=Path("mask.nrrd") if mask else None,
        her2=her2_class(*stain),
        ihc=stain[0],
        ish=stain[1],
    )


rows = st.lists(
    st.tuples(st.sampled_from("ABC"), st.sampled_from(STAINS), st.booleans(), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(rows)
def test_every_patient_is_excluded_or_in_one_class(
    rows: list[tuple[str, tuple[str, str], bool, bool]],
) -> None:
    cases = [case(n, cohort, stain, mask) for n, (cohort, stain, mask, _) in enumerate(rows)]
    failed = {f"P{n}": "refused" for n, row in enumerate(rows) if row[3]}
    flows = inclusion_flow(cases, failed=failed)
    assert [flow.cohort for flow in flows] == list(dict.fromkeys(row[0] for row in rows))
    assert sum(flow.patients for flow in flows) == len(rows)
    for flow in flows:
        members = [row for row in rows if row[0] == flow.cohort]
        usable = [row for row in members if row[2] and row[1] != ("2+", "")]
        assert flow.included == sum(flow.classes.values()) == len(usable)
        assert flow.classes == {
            name: Counter(her2_class(*row[1]) for row in usable)[name] for name in CLASSES
        }
        assert sum(flow.failed.values()) == sum(row[3] for row in usable)


def test_the_indeterminate_are_named_with_their_reason() -> None:
    [flow] = inclusion_flow([case(1, "A", ("2+", ""), True), case(2, "A", ("3+", ""), False)])
    assert flow.excluded == {"IHC 2+ without ISH: indeterminate": 1, "no tumour mask": 1}
    assert flow.included == 0


def test_the_diagram_holds_every_number_and_no_text_leaves_its_box() -> None:
    names = ["Münster & <Köln>, the hospital with the longest name of all of them", "B"]
    cases = [
        case(n, names[n % 2], STAINS[n % len(STAINS)], n % 5 > 0, "external") for n in range(97)
    ]
    flows = inclusion_flow(cases, sets={"P1": "train"}, failed={"P7": "Refused by gate 'plane'"})
    root = ET.fromstring(flow_svg(flows))
    tag = "{http://www.w3.org/2000/svg}"
    texts = [text.text or "" for text in root.iter(f"{tag}text")]
    together = " ".join(texts)
    assert "Münster & <Köln>" in together
    for flow in flows:
        assert f"patients: {flow.patients}" in texts and f"Included: {flow.included}" in texts
        for name, number in {**flow.excluded, **flow.sets, **flow.failed}.items():
            assert f"{name}: {number}" in together
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    boxes = [
        tuple(float(rect.get(name, "0")) for name in ("x", "y", "width", "height"))
        for rect in root.iter(f"{tag}rect")
        if rect.get("x")
    ]
    for x, y, w, h in boxes:
        assert x > 0 and y > 0 and x + w < width and y + h < height
    for text in root.iter(f"{tag}text"):
        x, y = float(text.get("x", 0)), float(text.get("y", 0))
        per_letter = 7.6 if text.get("font-weight") else 7.0  # generous for 13 px
        inside = [b for b in boxes if b[0] < x < b[0] + b[2] and b[1] < y <= b[1] + b[3]]
        assert len(inside) == 1
        assert len(text.text or "") * per_letter * 0.9 < inside[0][2], text.text


def test_the_command_checks_the_table_and_writes_the_diagram(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "m.nrrd").touch()
    table = tmp_path / "COHORT.csv"
    head = "patient_id,cohort,split,study,segmentation,ihc,ish\n"
    table.write_text(
        head + "P1,A,,study,m.nrrd,0,\nP2,A,,study,m.nrrd,2+,\nP3,B,external,study,,3+,\n"
    )
    ended = command(capfd, "her2", "cohort", table, "--out", tmp_path / "out")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "A: 2 patients, 1 included (zero 1, low 0, positive 0)",
        "  excluded: 1: IHC 2+ without ISH: indeterminate",
        "B: 1 patients, 0 included (zero 0, low 0, positive 0)",
        "  excluded: 1: no tumour mask",
    ]
    kept = json.loads((tmp_path / "out" / "flow.json").read_text())
    assert [flow["included"] for flow in kept["cohorts"]] == [1, 0]
    ET.parse(tmp_path / "out" / "flow.svg")
    table.write_text(head + "P1,A,,nowhere,m.nrrd,0,\n")
    ended = command(capfd, "her2", "cohort", table)
    assert ended.code == 2 and "row 2, column study" in ended.line


@pytest.mark.parametrize("text", [None, "patient,set\nP1,train\n"])
def test_without_a_readable_split_no_sets_are_shown(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, text: str | None
) -> None:
    (tmp_path / "study").mkdir()
    table = tmp_path / "COHORT.csv"
    head = "patient_id,cohort,split,study,segmentation,ihc,ish\n"
    table.write_text(head + "P1,A,,study,,0,\n")
    if text is not None:
        (tmp_path / "split.csv").write_text(text)
    ended = command(capfd, "her2", "cohort", table, "--model", tmp_path)
    assert ended.code == 2
    assert ("no training run" if text is None else "split of the training is damaged") in ended.line
