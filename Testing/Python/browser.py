"""A page as a reader's browser shows it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_PAGE_CHECK = """<script>
window.addEventListener("load", () => {
  const wide = innerWidth, found = [];
  if (document.documentElement.scrollWidth > wide) found.push("the page scrolls sideways");
  document.querySelectorAll("details").forEach(d => { d.open = true; });
  if (document.documentElement.scrollWidth > wide) found.push("it does once all is open");
  document.querySelectorAll("main *").forEach(e => {
    const box = e.getBoundingClientRect();
    if (e.closest("section") || box.width === 0) return;
    if (box.right > wide + 0.5 || box.left < 0) found.push("overflows: " + e.tagName);
  });
  document.querySelectorAll("td, th, figcaption, h1, h2, h3, li").forEach(e => {
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
      found.push("text leaves its " + e.tagName + ": " + e.textContent.slice(0, 40));
  });
  document.querySelectorAll("section").forEach(e => {
    if (e.scrollWidth > e.clientWidth + 1) found.push("a table hides columns");
  });
  document.images.length || found.push("no picture");
  [...document.images].forEach(i => { i.naturalWidth || found.push("a broken picture"); });
  const shown = [...document.images].filter(i => i.closest("figure.wide"));
  const scale = Math.min(...shown.map(i => i.clientWidth / i.naturalWidth));
  if (scale < 0.6) found.push("a figure is shrunk to " + scale);
  document.title = "CHECKED " + JSON.stringify(found);
});
window.addEventListener("error", e => { document.title = "ERROR " + e.message; });
</script>"""

_FIGURE_CHECK = """<script>
const found = [];
document.querySelectorAll("div > svg").forEach(svg => {
  const name = svg.parentElement.id, whole = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll('g[id^="text_"], svg > text')];
  if (texts.length < 3) found.push(name + ": no texts");
  const boxes = texts.map(t => t.getBoundingClientRect()).filter(b => b.width > 0);
  boxes.forEach((b, i) => {
    if (b.left < whole.left - 0.5 || b.right > whole.right + 0.5
        || b.top < whole.top - 0.5 || b.bottom > whole.bottom + 0.5)
      found.push(name + ": a text is clipped: " + [b.left - whole.left, b.top - whole.top,
        whole.right - b.right, whole.bottom - b.bottom].map(Math.round));
    if (b.height < 6) found.push(name + ": a text is too small");
    boxes.slice(i + 1).forEach(o => {
      const w = Math.min(b.right, o.right) - Math.max(b.left, o.left);
      const h = Math.min(b.bottom, o.bottom) - Math.max(b.top, o.top);
      if (w > 1 && h > 1 && w * h > 0.1 * Math.min(b.width * b.height, o.width * o.height))
        found.push(name + ": texts overlap");
    });
  });
  svg.querySelectorAll("svg > text").forEach(t => {
    const b = t.getBoundingClientRect();
    const inside = [...svg.querySelectorAll("rect[rx]")].some(r => {
      const o = r.getBoundingClientRect();
      return b.left >= o.left && b.right <= o.right && b.top >= o.top - 1 && b.bottom <= o.bottom;
    });
    if (!inside) found.push(name + ": a text leaves its box: " + t.textContent);
  });
});
document.title = "CHECKED " + JSON.stringify(found);
</script>"""

RESEARCH, SYNTHETIC = (122, 75, 0), (91, 26, 102)
"""The colours of the banners."""


def browse(chromium: str, folder: Path, page: Path, *options: str) -> str:
    """Open a page in headless Chromium; ``folder`` takes the browser's profile.

    Returns:
        What the browser printed: the page's elements with ``--dump-dom``.
    """
    done = subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout.decode("utf-8", "replace")


def below_whole_banners(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Check that both banners stand at the top with no letter cut; the picture below them."""
    end = 0
    for colour in (RESEARCH, SYNTHETIC):
        edges = (picture[:, [0, -1]] == np.array(colour, np.uint8)).all(axis=(1, 2))
        start, stop = np.flatnonzero(edges)[[0, -1]].tolist()
        assert edges[start : stop + 1].all() and start == end
        end = stop + 1
        letters = picture[start:end].min(axis=2) > 200
        rows, columns = (np.flatnonzero(letters.any(axis=axis)) for axis in (1, 0))
        assert 20 <= end - start <= 60 and letters.sum() > 500
        assert rows[0] >= 3 and rows[-1] < end - start - 3
        assert columns[0] >= 8 and columns[-1] < picture.shape[1] - 8
    return picture[end:]


def page_faults(chromium: str, folder: Path, page: str, width: int) -> list[str]:
    """What overflows, is hidden or broken on a page in a window of this width."""
    copy = folder / "page.html"
    copy.write_text(page.replace("</body>", f"{_PAGE_CHECK}</body>"), encoding="utf-8")
    size = f"--window-size={width},1000"
    return _checked(browse(chromium, folder, copy, size, "--dump-dom"))


def figure_faults(chromium: str, folder: Path, figures: Path) -> list[str]:
    """Texts of the SVG files in a folder that are clipped, too small or on one another."""
    parts = []
    for path in sorted(figures.glob("*.svg")):
        svg = path.read_text("utf-8")
        parts.append(f'<div id="{path.stem}">{svg[svg.index("<svg") :]}</div>')
    page = folder / "figures.html"
    text = "<!doctype html><meta charset='utf-8'><title></title>" + "\n".join(parts)
    page.write_text(text + _FIGURE_CHECK, encoding="utf-8")
    size = "--window-size=1400,1000"
    return _checked(browse(chromium, folder, page, size, "--dump-dom"))


def _checked(text: str) -> list[str]:
    """What the page found wrong with itself."""
    title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
    assert title is not None and title[1].startswith("CHECKED "), title
    found: list[str] = json.loads(title[1].removeprefix("CHECKED ").replace("&amp;", "&"))
    return sorted(set(found))
