"""Thousands of damaged inputs: no hang, no traceback, no unbounded memory, no wrong success.

Small sound studies and masks (`mutation_bases`) are damaged (`mutation_kinds`), and each damaged
copy is prepared for the model in a process that may take 2.5 GB and 20 seconds. It must be refused
in one line, or give what the sound input gives. Another result is right only where the damage wrote
another sound value, or where warnings, notes or the list of what was left out say what was found.

    python Testing/prove/mutations.py [--cases 4000] [--seed 1]
    python Testing/prove/mutations.py --only "flip" --base siemens-seg --seed 17   # one again
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from evidence import record
from mutation_bases import Base, make_bases
from mutation_case import ADDRESS_SPACE, DEFECTS, GROWTH, SOUND
from mutation_kinds import KINDS, kinds_for

LIMIT_S = 20.0
WORKERS = 2


class Case(NamedTuple):
    """A case, which base, kind and seed tell."""

    base: str
    kind: str
    seed: int


class Answer(NamedTuple):
    """What became of it; see `mutation_case.Outcome`."""

    case: Case
    kind: str
    what: str
    said: str
    found: dict[str, Any]


class Worker:
    """A process that runs cases, started again when it hangs or dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._start()

    def _start(self) -> None:
        program = [sys.executable, str(Path(__file__).with_name("mutation_case.py"))]
        self.process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.nice(10),
            env={**os.environ, "TMPDIR": str(self.folder)},
        )

    def run(self, case: Case, base: Base, folder: Path, truth: dict[str, Any] | None) -> Answer:
        given = {
            "folder": str(folder / base.name),
            "base": json.loads(base.to_json()),
            "kind": case.kind,
            "seed": case.seed,
            "truth": truth,
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(given).encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], LIMIT_S)
        line = self.process.stdout.readline() if ready else b""
        if line:
            return Answer(case, **json.loads(line))
        if not ready:
            self.process.kill()
        code = self.process.wait()
        self._start()
        if not ready:
            return Answer(case, "timeout", "", f"no answer in {LIMIT_S:.0f} s", {})
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return Answer(case, "crash", "", name, {})

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def drawn(bases: Sequence[Base], count: int, first_seed: int) -> Iterator[Case]:
    """Cases over all bases and kinds in turn, with seeds that go on."""
    pairs = [
        (base.name, kind)
        for base in bases
        for kind in kinds_for(base.name)
        for _ in range(3 if kind in _TELLING else 1)
    ]
    order = random.Random(first_seed).sample(range(len(pairs)), len(pairs))
    seeds: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        pair = pairs[order[number % len(pairs)]]
        yield Case(*pair, first_seed + seeds[pair])
        seeds[pair] += 1


_TELLING = ("flip", "header flip", "element", "every element", "length", "field", "zip", "database")
"""Damage of which no two cases are alike: drawn more often than the rest."""


def run(cases: Iterable[Case], folder: Path, workers: int = WORKERS) -> Iterator[Answer]:
    """The cases' answers, in the order in which they end.

    Raises:
        RuntimeError: a sound base does not give what the others give.
    """
    bases = {base.name: base for base in make_bases(folder / "bases")}
    pool = [Worker(folder) for _ in range(workers)]
    truths = {}
    for name, base in bases.items():
        answer = pool[0].run(Case(name, "none", 0), base, folder / "bases", None)
        if answer.kind != "equal":
            raise RuntimeError(f"the sound base {name} is not read: {answer}")
        truths[name] = answer.found
    if len({json.dumps([t["pixels"], t["mask"]]) for t in truths.values()}) > 1:
        raise RuntimeError("the sound bases differ")
    waiting = iter(cases)
    lock = threading.Lock()
    answers: list[Answer] = []
    ended = threading.Semaphore(0)

    def work(worker: Worker) -> None:
        try:
            while True:
                with lock:
                    case = next(waiting, None)
                if case is None:
                    return
                base, truth = bases[case.base], truths[case.base]
                answers.append(worker.run(case, base, folder / "bases", truth))
                ended.release()
        finally:
            worker.close()
            ended.release()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in pool]
    for thread in threads:
        thread.start()
    given = 0
    while any(thread.is_alive() for thread in threads) or given < len(answers):
        ended.acquire(timeout=1)
        while given < len(answers):
            yield answers[given]
            given += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=list(KINDS), help="this kind of damage, with this seed")
    parser.add_argument("--base", help="of this base only")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = [b for b in make_bases(folder / "listed") if options.base in (None, b.name)]
        if options.only:
            kinds = [(b.name, options.only) for b in bases if options.only in kinds_for(b.name)]
            cases = [Case(base, kind, options.seed) for base, kind in kinds]
        else:
            cases = list(drawn(bases, options.cases, options.seed))
        answers = []
        for answer in run(cases, folder):
            answers.append(answer)
            if options.only or answer.kind in DEFECTS:
                print(*answer[:4], sep="\n  ", flush=True)
            if len(answers) % 500 == 0:
                print(len(answers), f"{time.monotonic() - started:.0f} s", flush=True)
    if not options.only and not options.base:
        _record(answers, options.seed)


def _record(answers: Sequence[Answer], seed: int) -> None:
    counts = Counter(answer.kind for answer in answers)
    counts["traceback or reason of several lines"] = counts["traceback"]
    by_kind = {
        kind: dict(sorted(Counter(a.kind for a in answers if a.case.kind == kind).items()))
        for kind in KINDS
    }
    record(
        "mutations",
        {
            f"no {kind} in {len(answers)} damaged inputs": counts[kind] == 0
            for kind in ("traceback or reason of several lines", *DEFECTS[1:])
        },
        {
            "cases": len(answers),
            "seeds": [seed, max(answer.case.seed for answer in answers)],
            "limits": {"seconds": LIMIT_S, "MB taken": GROWTH >> 20, "MB": ADDRESS_SPACE >> 20},
            "outcomes": {kind: counts[kind] for kind in (*SOUND, *DEFECTS)},
            "by damage": by_kind,
            "by base": {
                base: dict(sorted(Counter(a.kind for a in answers if a.case.base == base).items()))
                for base in sorted({answer.case.base for answer in answers})
            },
            "defects and what was noticed": [
                {**a.case._asdict(), "outcome": a.kind, "what": a.what, "said": a.said[-300:]}
                for a in answers
                if a.kind in (*DEFECTS, "noticed")
            ],
        },
    )


if __name__ == "__main__":
    main()
