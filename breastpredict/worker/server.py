"""``breastpredict worker``: answers requests, one JSON object a line, until its input ends.

A request is ``{"id": 1, "command": "open", "arguments": {...}, "folder": "..."}``; relative paths
are of that folder, or else of the one before. Every answer carries the id:

- ``{"id": 1, "event": "progress", "stage": "...", "done": 1, "total": 3, "line": "..."}``
- ``{"id": 1, "event": "done", "result": {...}}``
- ``{"id": 1, "event": "failed", "kind": "input" | "refused" | "internal", "reason": "...",
  "gate": "..."}``

Requests are answered one after the other. To cancel one, kill the process: nothing is written
that is not whole.
"""

from __future__ import annotations

import inspect
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

from breastpredict.errors import BreastPredictError, GateRefusal, InputError, reason_of

Progress = Callable[[str, int, int, str], None]
Handler = Callable[..., Mapping[str, Any]]


def serve(
    handlers: Mapping[str, Handler],
    requests: Iterable[str],
    answers: TextIO,
    *,
    debug: bool = False,
) -> None:
    """Answer requests until there are no more.

    Args:
        handlers: name of the command → function; it takes ``progress`` and the arguments by name,
            and returns what JSON can hold.
        requests: lines.
        answers: where the answers go, flushed line by line.
        debug: print tracebacks to standard error.
    """

    def answer(number: Any, event: str, **fields: Any) -> None:
        answers.write(json.dumps({"id": number, "event": event, **fields}) + "\n")
        answers.flush()

    for line in requests:
        if not line.strip():
            continue
        number = None
        try:
            request = _parsed(line)
            number = request.get("id")

            def progress(
                stage: str, done: int, total: int, text: str = "", of: Any = number
            ) -> None:
                answer(of, "progress", stage=stage, done=done, total=total, line=text)

            handler, arguments = _bound(handlers, request)
            os.chdir(str(request.get("folder", os.curdir)))
            answer(number, "done", result=handler(progress=progress, **arguments))
        except GateRefusal as refusal:
            answer(number, "failed", kind="refused", reason=refusal.reason, gate=refusal.gate)
        except BreastPredictError as error:
            answer(number, "failed", kind="input", reason=str(error))
        except OSError as error:
            answer(number, "failed", kind="input", reason=reason_of(error))
        except Exception as error:  # one request must not end the process
            if debug:
                traceback.print_exc()
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            answer(number, "failed", kind="internal", reason=reason)


def run(handlers: Mapping[str, Handler], *, die_with_parent: bool, debug: bool = False) -> int:
    """Serve standard input and output; returns the exit code.

    Only answers go to standard output: what libraries print, from C++ too, goes to standard error.

    Args:
        handlers: see `serve`.
        die_with_parent: end at once when the input ends, in the middle of a request too. Else
            what was asked for is finished first.
        debug: see `serve`.
    """
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        with open(0, encoding="utf-8", errors="surrogateescape", closefd=False) as requests:
            for line in requests:
                lines.put(line)
        if die_with_parent:
            os._exit(0)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        serve(handlers, iter(lines.get, None), answers, debug=debug)
    except BrokenPipeError:  # nobody listens any more
        return 1
    return 0


def _parsed(line: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError("The request is not JSON") from error
    if not isinstance(request, dict):
        raise InputError("The request is not a JSON object")
    return request


def _bound(
    handlers: Mapping[str, Handler], request: Mapping[str, Any]
) -> tuple[Handler, dict[str, Any]]:
    """The command's function and its arguments, checked by name."""
    name, arguments = request.get("command"), request.get("arguments", {})
    if not isinstance(name, str) or name not in handlers:
        raise InputError(f"There is no command {name!r}; there are {', '.join(sorted(handlers))}")
    if not isinstance(arguments, dict):
        raise InputError("The arguments are not a JSON object")
    try:
        inspect.signature(handlers[name]).bind(progress=None, **arguments)
    except TypeError as error:
        raise InputError(f"Wrong arguments for '{name}': {error}") from error
    return handlers[name], arguments
