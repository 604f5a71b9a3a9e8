"""Progress: a bar on a terminal, plain lines otherwise, nothing with --quiet."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

_EVERY_S = 5.0
_PLAIN_BAR = "{desc}: {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class Steps:
    """Progress of one stage on standard error.

    Args:
        stage: its name.
        quiet: say nothing.
        own_pace: the lines tell pace and time left themselves.
    """

    def __init__(self, stage: str, quiet: bool, own_pace: bool = False) -> None:
        self._stage = stage
        self._quiet = quiet
        self._format = _PLAIN_BAR if own_pace else None
        self._bar: tqdm[None] | None = None
        self._last = -_EVERY_S

    def __call__(self, done: int, total: int, line: str = "") -> None:
        """``done`` of ``total`` steps are finished."""
        if self._quiet:
            return
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(
                    total=total, desc=self._stage, file=sys.stderr, bar_format=self._format
                )
            self._bar.total = total
            self._bar.n = done
            self._bar.set_postfix_str(line, refresh=False)
            self._bar.refresh()
            if done >= total:
                self._bar.close()
                self._bar = None
            return
        now = time.monotonic()
        if done >= total or now - self._last >= _EVERY_S:
            self._last = now
            words = f"{self._stage}: {done}/{total} {line}".rstrip()
            print(words, file=sys.stderr, flush=True)


class Stages:
    """Progress of work that has several named stages."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._steps: dict[str, Steps] = {}

    def __call__(self, stage: str, done: int, total: int, line: str) -> None:
        """``done`` of ``total`` steps of ``stage`` are finished."""
        steps = self._steps.setdefault(stage, Steps(stage, self._quiet))
        steps(done, total, line)


def say(text: str, quiet: bool) -> None:
    """A line for the user on standard error."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)
