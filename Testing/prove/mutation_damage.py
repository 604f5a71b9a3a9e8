"""What damage is: a copy of a base, what was done to it, and what that may rightly change."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ALL = frozenset(("geometry", "phase", "pixels", "mask"))
NOTHING: frozenset[str] = frozenset()
MASK, PIXELS, VALUES = frozenset(("mask",)), frozenset(("pixels",)), frozenset(("pixels", "phase"))


@dataclass(frozen=True)
class Damage:
    """What was done, in words, and what of the result it may rightly change."""

    what: str
    may_change: frozenset[str]


@dataclass(frozen=True)
class Case:
    """A copy of a base that is to be damaged."""

    folder: Path
    mask: Path
    base: str
    random: random.Random

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def pick(self, fits: Callable[[Path], bool] = lambda _: True) -> Path:
        """A file, the mask and indices oftener than their share."""
        files = [path for path in self.files() if fits(path)]
        few = [
            path
            for path in files
            if path == self.mask
            or path.suffix in (".csv", ".sql", ".zip")
            or path.name.upper() == "DICOMDIR"
        ]
        return self.random.choice(few if few and self.random.random() < 0.4 else files)

    def size(self, most: int) -> int:
        """Small numbers oftener than large ones."""
        return max(1, min(most, int(2 ** (self.random.random() * 13))))


def write(path: Path, content: bytes) -> None:
    """In place of a file, which may be a link to the base's."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def is_dicom(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"
