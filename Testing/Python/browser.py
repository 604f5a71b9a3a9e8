"""A page as a reader's browser shows it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
