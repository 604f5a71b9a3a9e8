"""How fast a batch is, and when it will be done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_RECENT = 50


class Pace:
    """Cases per second of late, and the time that is left at that pace.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = deque([clock()], maxlen=_RECENT + 1)

    def step(self) -> None:
        """A case is done."""
        self._ends.append(self._clock())

    def words(self, left: int) -> str:
        """Such as ``1.9 cases per second, 4 min left``; empty before the first case.

        Args:
            left: how many cases are still to be done.
        """
        seconds = self._ends[-1] - self._ends[0]
        if len(self._ends) < 2 or seconds <= 0:
            return ""
        rate = (len(self._ends) - 1) / seconds
        speed = f"{rate:.1f} cases per second" if rate >= 1 else f"{1 / rate:.1f} s a case"
        return f"{speed}, {_duration(left / rate)} left" if left else speed


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
