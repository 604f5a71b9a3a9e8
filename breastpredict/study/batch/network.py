"""The network of a batch, in a thread of its own, so that nothing waits for it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from breastpredict.study.batch.system import System


@dataclass(frozen=True)
class Scored:
    """What the network said of a case.

    Attributes:
        token: as it was given.
        outputs: of the case, or the exception that came instead.
        seconds: that it took.
    """

    token: Any
    outputs: Any
    seconds: float


class Network:
    """Runs the network on the cases that wait; a context manager.

    Args:
        system: whose network.
        events: where `Scored` goes.
    """

    def __init__(self, system: System, events: queue.SimpleQueue[Any]) -> None:
        self._system = system
        self._events = events
        self._waiting: queue.SimpleQueue[tuple[Any, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Network:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join(timeout=10)

    def put(self, token: Any, inputs: Any) -> None:
        """Let a case be scored; ``token`` comes back with what was found."""
        self._waiting.put((token, inputs))

    def _serve(self) -> None:
        while True:
            group = []
            item = self._waiting.get()
            while item is not None:
                group.append(item)
                if len(group) == self._system.together or self._waiting.empty():
                    break
                item = self._waiting.get()
            if group:
                for scored in score(self._system, group):
                    self._events.put(scored)
            if item is None:
                return


def score(system: System, group: Sequence[tuple[Any, Any]]) -> list[Scored]:
    """Run the network on cases; where it fails on all together, on each alone."""
    start = time.perf_counter()
    try:
        found = list(system.run([inputs for _, inputs in group]))
        each = (time.perf_counter() - start) / len(group)
        return [Scored(token, out, each) for (token, _), out in zip(group, found, strict=True)]
    except Exception as error:  # one case must not end the batch
        if len(group) == 1:
            return [Scored(group[0][0], error, time.perf_counter() - start)]
    return [one for item in group for one in score(system, [item])]
