"""The review page of a cohort: every case in one table, safe to open, and quick with 1000 cases."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import random
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import browse
from cli_runs import command, make_cohort, make_mask, truncate
from PIL import Image

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.study import Limits, Results, read_cohort, run_batch
from breastpredict.study.her2_batch import REVIEW
from breastpredict.study.pcr_batch import COLUMNS, pcr_results
from breastpredict.study.results import FAILURES, PREDICTIONS, csv_text
from breastpredict.study.review import write_review

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("one_thread")
HOSTILE = [
    "</script><script>document.title='OWNED'</script>",
    "<img src=x onerror=\"document.title='OWNED'\">",
    '=HYPERLINK("http://x","y")',
    "{{ 7*7 }} \u2028 ${alert(1)} `\\",
    "../../x",
    "\u202egnp.exe",
]


@pytest.fixture(scope="module")
def finished(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of four cases that were predicted, one that was refused and one that is damaged."""
    folder = tmp_path_factory.mktemp("review")
    table = make_cohort(folder / "Jane Doe", [f"MRN-{number}" for number in range(6)])
    tiny = (slice(4, 5), slice(18, 20), slice(22, 24))
    make_mask(table.parent / "mask2.nrrd", table.parent / "study2", tiny)
    truncate(table.parent / "mask5.nrrd", 200)
    run_batch(read_cohort(table), tiny_run, folder / "out", limits=Limits(workers=0))
    return folder / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy, to change."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def many(finished: Path, out: Path, names: list[str]) -> list[dict[str, str]]:
    """A results folder of 1000 cases, with the files of the finished ones; its predictions.

    Every tenth case failed. Names go round as patients and cohorts, and as reasons.
    """
    rng = random.Random(4)
    (out / "review").mkdir(parents=True)
    done = Results(finished).predictions()
    predicted, failed = [], []
    for number in range(1000):
        name = names[number % len(names)]
        row = {**done[number % len(done)], "patient_id": f"{name} {number}", "cohort": name}
        source = finished / row["case_key"]
        row["case_key"] = f"{rng.getrandbits(64):016x}"
        if number % 10 == 9:
            failed.append({**row, "stage": "input", "reason": f"It cannot be read: {name}"})
            continue
        parts = [rng.random() for _ in range(3)]
        for column, part in zip(("p_zero", "p_low", "p_positive"), parts, strict=True):
            row[column] = repr(part / sum(parts))
        predicted.append(row)
        (out / row["case_key"]).mkdir()
        for file in ("overlay.png", "report.html", "result.json"):
            os.link(source / file, out / row["case_key"] / file)
        os.link(
            finished / "review" / f"{source.name}.jpg", out / "review" / f"{row['case_key']}.jpg"
        )
    (out / "predictions.csv").write_text(csv_text(PREDICTIONS, predicted), "utf-8", newline="\n")
    (out / "failures.csv").write_text(csv_text(FAILURES, failed), "utf-8", newline="\n")
    return predicted


class Reader(HTMLParser):
    """A page's elements, and the text of its data and scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append(data)


def data_of(page: Path) -> dict[str, Any]:
    """What the page shows."""
    (content, _) = Reader(page.read_text("utf-8")).scripts
    found: dict[str, Any] = json.loads(content)
    return found


def in_browser(chromium: str, folder: Path, page: Path, script: str, *, timed: bool = False) -> Any:
    """What a script finds on the page in the browser; it calls ``say`` with it.

    Pictures have the time to come, but of another clock; ``timed``: on the true one, at once.

    The page's own policy stays in force: it is only told of this one script more.
    """
    script = (
        "const say = (x) => { document.title = 'SAID ' + JSON.stringify(x); };"
        "document.addEventListener('securitypolicyviolation', e => say(['policy', e.blockedURI]));"
        "addEventListener('error', e => say(['error', e.message]), true);"
        "addEventListener('unhandledrejection', e => say(['error', String(e.reason)]));"
        f"addEventListener('load', async () => {{ {'' if timed else WAIT} {script} }});"
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = page.read_text("utf-8").replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    copy = page.with_name("looked_at.html")
    # Before the page's own, so that it hears what that does.
    copy.write_text(text.replace("</head>", f"<script>{script}</script></head>", 1), "utf-8")
    try:
        clock = () if timed else ("--virtual-time-budget=4000",)
        found = browse(chromium, folder, copy, "--window-size=1400,1000", *clock, "--dump-dom")
    finally:
        copy.unlink()
    title = re.search(r"<title>SAID (.*?)</title>", found, re.DOTALL)
    assert title is not None, found[:3000]
    return json.loads(html.unescape(title[1]))


WAIT = "await new Promise(r => setTimeout(r, 100));"
TOOLS = """
const at = (id) => document.getElementById(id);
const texts = (n) => [...at("rows").rows].map(r => r.cells[n].textContent);
const press = (name) => document.querySelector(`button[data-column="${name}"]`).click();
const choose = (id, text) => { const s = at(id);
  s.value = [...s.options].find(o => o.textContent.startsWith(text)).value;
  s.dispatchEvent(new Event("change")); };
const search = (text) => { const s = at("search");
  s.value = text; s.dispatchEvent(new Event("input")); };
"""


# --- What it says ---


def test_a_batch_ends_with_a_page_whose_rows_are_those_of_the_tables(finished: Path) -> None:
    rows = {row["case_key"]: row for row in data_of(finished / "review.html")["rows"]}
    results = Results(finished)
    predictions = results.predictions()
    assert len(predictions) == 4 and len(rows) == 6
    for row in predictions:
        shown = rows[row["case_key"]]
        assert (
            shown["status"] == "predicted" and shown["output"] == f"HER2-{row['predicted_class']}"
        )
        numbers = [
            name for name in PREDICTIONS if name.startswith(("p_", "task")) and "_to" not in name
        ]
        assert len(numbers) == 7 and all(shown[name] == row[name] for name in numbers)
    refused, damaged = (rows[row["case_key"]] for row in results.failures())
    assert (refused["status"], damaged["status"]) == ("refused", "failed")
    assert refused["why"] == "gate tumour-size: " + results.failures()[0]["reason"]
    assert damaged["why"].startswith("input: The segmentation is damaged")
    assert not any(row["p_low"] or row["output"] for row in (refused, damaged))


def test_every_link_and_picture_of_the_page_is_there(finished: Path) -> None:
    rows = data_of(finished / "review.html")["rows"]
    for row in rows:
        there = row["status"] != "failed"
        assert bool(row["folder"]) == row["report"] == there
        assert not there or (finished / row["folder"] / "report.html").is_file()
        assert (row["picture"] is not None) == (row["status"] == "predicted")
        if row["picture"]:
            with Image.open(finished / row["picture"]["file"]) as image:
                assert image.format == "JPEG" and max(image.size) <= 264
                assert image.info["comment"].decode() == RESEARCH_USE_ONLY
                with Image.open(finished / row["folder"] / "overlay.png") as whole:
                    assert image.width / image.height == pytest.approx(
                        whole.width / whole.height, rel=0.02
                    )
    for tag, attributes in Reader((finished / "review.html").read_text("utf-8")).tags:
        address = attributes.get("href") or attributes.get("src")
        assert address is None or (tag == "a" and (finished / address).is_file())


def test_the_page_says_what_it_is_for_and_what_the_model_was_trained_on(out: Path) -> None:
    page = (out / "review.html").read_text("utf-8")
    assert f'<div class="ruo">{RESEARCH_USE_ONLY}' in page
    assert f'<div class="synthetic">{SYNTHETIC_WARNING}' in page
    rows = [{**row, "synthetic": "0"} for row in Results(out).predictions()]
    (out / "predictions.csv").write_text(csv_text(PREDICTIONS, rows), "utf-8", newline="\n")
    page = write_review(out, REVIEW).read_text("utf-8")
    assert SYNTHETIC_WARNING in page  # its refused case says so, too
    (out / "failures.csv").unlink()
    page = write_review(out, REVIEW).read_text("utf-8")
    assert SYNTHETIC_WARNING not in page and RESEARCH_USE_ONLY in page


def test_patients_are_named_only_where_that_is_asked_for(capfd: Capture, out: Path) -> None:
    """A folder's name may be the patient's: paths are left out of the reasons, too."""
    plain = (out / "review.html").read_text("utf-8")
    assert "MRN-" not in plain and "Jane" not in plain and "Doe" not in plain
    ended = command(capfd, "her2", "review", out, "--identifiers")
    assert (ended.code, ended.out, ended.err) == (0, f"{out / 'review.html'}\n", "")
    rows = data_of(out / "review.html")["rows"]
    assert {row["patient"] for row in rows} == {f"MRN-{number}" for number in range(6)}
    assert "Jane Doe/mask5.nrrd" in rows[-1]["why"]
    assert "This page shows patient identifiers" in (out / "review.html").read_text("utf-8")
    assert command(capfd, "her2", "review", out).code == 0
    dated = re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}[+-]\d\d:\d\d")
    assert dated.sub("", (out / "review.html").read_text("utf-8")) == dated.sub("", plain)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("Damaged [/a b/Doe [2]/x.dcm]. Send it again.", "Damaged. Send it again."),
        ("No file C:\\Doe\\x and no /b/Doe here", "No file … and no … here"),
        ("The patient MRN-0 is here twice", "The patient … is here twice"),
        ("internal error: KeyError: 'Doe'", "internal error: KeyError (see failures.csv)"),
    ],
)  # fmt: skip
def test_a_reason_keeps_its_words_and_loses_paths_and_identifiers(
    out: Path, reason: str, shown: str
) -> None:
    row = {**Results(out).failures()[1], "patient_id": "MRN-0", "stage": "files", "reason": reason}
    (out / "failures.csv").write_text(csv_text(FAILURES, [row]), "utf-8", newline="\n")
    rows = data_of(write_review(out, REVIEW))["rows"]
    assert rows[-1]["why"] == f"files: {shown}"


def test_a_small_picture_is_made_again_only_when_its_case_was(out: Path) -> None:
    first, second, *_ = [row["case_key"] for row in Results(out).predictions()]
    pictures = {key: out / "review" / f"{key}.jpg" for key in (first, second)}
    before = {key: path.stat().st_ino for key, path in pictures.items()}
    Image.new("RGB", (80, 40), (255, 0, 0)).save(out / first / "overlay.png")
    (out / "review" / ("0" * 16 + ".jpg")).write_bytes(b"of a case that is not there any more")
    write_review(out, REVIEW)
    assert pictures[first].stat().st_ino != before[first]
    assert pictures[second].stat().st_ino == before[second]
    with Image.open(pictures[first]) as image:
        assert image.size == (80, 40)
    assert len(list((out / "review").iterdir())) == 4
    (out / first / "overlay.png").write_bytes((out / second / "overlay.png").read_bytes()[:300])
    write_review(out, REVIEW)  # a damaged picture costs itself
    assert not pictures[first].exists()
    assert data_of(out / "review.html")["rows"][0]["picture"] is None


def test_a_folder_without_results_or_of_the_other_system_is_refused_in_one_line(
    capfd: Capture, out: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    ended = command(capfd, "pcr", "review", empty)
    assert ended.code == 2 and "holds no predictions" in ended.line and "pcr batch" in ended.line
    ended = command(capfd, "pcr", "review", out)
    assert ended.code == 2 and "predictions.csv" in ended.line
    assert not (empty / "review.html").exists()


def test_the_page_of_the_other_system_has_its_own_columns(capfd: Capture, tmp_path: Path) -> None:
    results = pcr_results(tmp_path)
    row = dict.fromkeys(COLUMNS, "")
    numbers = {"p_pcr": "0.25", "threshold": "0.2", "expected": "1", "interval_weeks": "6.5"}
    results.predicted("a" * 16, {**row, **numbers, "variant": "full", "cohort": "S"})
    results.failed("b" * 16, {"cohort": "S", "stage": "gate stain", "reason": "It is not H&E."})
    assert command(capfd, "pcr", "review", tmp_path).code == 0
    data = data_of(tmp_path / "review.html")
    assert [row["output"] for row in data["rows"]] == ["expected", ""]
    assert [row["p_pcr"] for row in data["rows"]] == ["0.25", ""]
    assert [row["why"] for row in data["rows"]] == ["", "gate stain: It is not H&E."]
    assert "p_pcr" in [column["name"] for column in data["columns"]]


# --- In the browser ---


def test_rows_are_sorted_and_chosen_in_the_browser(
    chromium: str, finished: Path, out: Path, tmp_path: Path
) -> None:
    shown = in_browser(chromium, tmp_path, out / "review.html", TOOLS + """
      const found = {all: texts(1), count: at("count").textContent, heads: texts(3)};
      press("p_positive"); found.high = texts(1); found.sort = at("head").cells[7].ariaSort;
      press("p_positive"); found.low = texts(1);
      choose("status", "refused"); found.refused = texts(1); found.why = texts(10);
      choose("status", "all"); search("DAMAGED site"); found.damaged = texts(1);
      search("nothing like this"); found.none = texts(1); found.zero = at("count").textContent;
      search(""); choose("output", "HER2-"); found.output = new Set(texts(4)).size;
      found.pictures = [...document.images].map(i => [i.loading, i.naturalWidth > 0]);
      say(found);
    """)  # fmt: skip
    rows = Results(out).predictions()
    keys = [row["case_key"] for row in rows]
    ranked = [r["case_key"] for r in sorted(rows, key=lambda r: float(r["p_positive"]))]
    failed = [row["case_key"] for row in Results(out).failures()]
    strip = lambda texts: [text.removesuffix("folder") for text in texts]  # noqa: E731
    assert strip(shown["all"]) == keys + failed and shown["count"] == "6 of 6 cases"
    assert shown["heads"] == ["predicted"] * 4 + ["refused", "failed"]
    assert strip(shown["high"]) == ranked[::-1] + failed  # without a number: last, both ways
    assert strip(shown["low"]) == ranked + failed and shown["sort"] == "descending"
    assert strip(shown["refused"]) == failed[:1] and "too small" in shown["why"][0]
    assert strip(shown["damaged"]) == failed[1:]
    assert shown["none"] == [] and shown["zero"] == "0 of 6 cases"
    assert shown["output"] == 1
    assert shown["pictures"] and all(image == ["lazy", True] for image in shown["pictures"])


def test_a_thousand_cases_with_hostile_names_are_shown_as_text_and_without_lag(
    chromium: str, finished: Path, tmp_path: Path
) -> None:
    """Times are the page's own: from its first byte to its rows; of a choice, with its layout."""
    out = tmp_path / "many"
    rows = many(finished, out, HOSTILE)
    page = write_review(out, REVIEW, identifiers=True)
    reader = Reader(page.read_text("utf-8"))
    assert [tag for tag, _ in reader.tags].count("script") == 2
    assert not any(name.startswith("on") for _, given in reader.tags for name in given)
    shown = in_browser(chromium, tmp_path, page, TOOLS + """
      document.body.offsetHeight;
      const found = {ready: performance.now(), patients: texts(2), timed: []};
      found.scripts = document.scripts.length;
      const timed = (act) => { const start = performance.now(); act();
        at("cases").getBoundingClientRect(); found.timed.push(performance.now() - start); };
      timed(() => press("p_low")); found.first = texts(1)[0];
      timed(() => search("gnp")); found.chosen = at("count").textContent;
      timed(() => search("")); timed(() => choose("status", "failed"));
      found.failed = at("count").textContent; found.why = texts(11)[0];
      timed(() => choose("status", "all")); timed(() => at("on").click());
      found.page = at("page").textContent;
      found.elements = document.querySelectorAll("*").length;
      found.wild = document.querySelectorAll("td script, td img[onerror], option *").length;
      found.addresses = [...document.querySelectorAll("td a")].every(a =>
        a.href.startsWith(new URL(".", location).href) && /[0-9a-f]{16}[/]/.test(a.href));
      found.options = [...at("cohort").options].length;
      say(found);
    """, timed=True)  # fmt: skip
    assert shown["patients"][: len(HOSTILE)] == [f"{name} {n}" for n, name in enumerate(HOSTILE)]
    assert shown["scripts"] == 3 and shown["wild"] == 0 and shown["addresses"]
    assert shown["options"] == len(HOSTILE) + 1
    best = max(rows, key=lambda row: float(row["p_low"]))
    assert shown["first"] == best["case_key"] + "folder"
    assert shown["failed"] == "100 of 1000 cases" and shown["why"].startswith("input: It cannot")
    assert shown["chosen"] == f"{len(range(5, 1000, 6))} of 1000 cases"
    assert shown["page"] == "page 2 of 20"
    assert shown["elements"] < 2500  # so the page stays light, however many cases there are
    print(f"rows after {shown['ready']:.0f} ms; {[round(t) for t in shown['timed']]} ms")
    assert shown["ready"] < 3000 and max(shown["timed"]) < 500  # idle: a tenth of it


def test_no_script_but_the_pages_own_runs_even_if_a_name_became_html(
    chromium: str, out: Path, tmp_path: Path
) -> None:
    """The policy is a second wall behind the escaping; here the first one is torn down."""
    page = out / "review.html"
    text = page.read_text("utf-8")
    bad = "<img src=x onerror=\"document.title='OWNED'\"><script>document.title='OWNED'</script>"
    page.write_text(text.replace("<h1>", f"{bad}<h1>", 1), "utf-8")
    found = browse(chromium, tmp_path, page, "--virtual-time-budget=2000", "--dump-dom")
    assert "<title>OWNED" not in found and "<bdi>SITE</bdi>" in found
    page.write_text(re.sub("<meta http-equiv.*?>", "", page.read_text("utf-8")), "utf-8")
    found = browse(chromium, tmp_path, page, "--virtual-time-budget=2000", "--dump-dom")
    assert "<title>OWNED" in found  # without the policy it would
