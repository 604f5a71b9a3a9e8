"""The command line: ``breastpredict ...`` (design §3).

Exit codes: 0 all done; 1 some cases failed or were refused; 2 wrong usage or input, with one line
on standard error.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from breastpredict import RESEARCH_USE_ONLY, __version__
from breastpredict.cli import demo, her2, look, pcr, reader, worker
from breastpredict.errors import BreastPredictError, GateRefusal, reason_of


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line; its sub-commands' parsers are of the same class."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"breastpredict: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code and never raises, argparse's own exits apart."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal's code page may lack mm² or a name
            stream.reconfigure(errors="backslashreplace")
    options = options_of(sys.argv[1:] if argv is None else argv)
    debug = options.debug or os.environ.get("BREASTPREDICT_DEBUG", "") not in ("", "0")
    try:
        code = options.run(options)
        sys.stdout.flush()
        return int(code)
    except BreastPredictError as error:
        if debug:
            traceback.print_exc()
        print(f"breastpredict: error: {error}", file=sys.stderr)
        return 1 if isinstance(error, GateRefusal) else 2
    except KeyboardInterrupt:
        print("breastpredict: stopped; what is finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as in: ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a file where a folder should be, no permission
        if debug:
            traceback.print_exc()
        print(f"breastpredict: error: {reason_of(error)}", file=sys.stderr)
        return 2
    except Exception as error:  # the last resort: the user gets a line, not a traceback
        if debug:
            traceback.print_exc()
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        hint = "" if debug else " (--debug shows where)"
        print(f"breastpredict: internal error: {reason}{hint}", file=sys.stderr)
        return 1


def options_of(argv: Sequence[str]) -> argparse.Namespace:
    """What a command line asks for; argparse ends the process where it is wrong."""
    return _parser().parse_args(_joined(argv))


def _joined(argv: Sequence[str]) -> list[str]:
    """``--seed-point -12,3,4`` as one word: argparse takes a leading minus for an option."""
    out: list[str] = []
    for word in argv:
        if out and out[-1] in ("--seed-point", "--box", "--mask-order") and word.startswith("-"):
            out[-1] += f"={word}"
        else:
            out.append(word)
    return out


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="no progress")
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    parser = _Parser(
        prog="breastpredict",
        description="HER2 from breast DCE-MRI, pCR from serial ultrasound and biopsy. "
        + RESEARCH_USE_ONLY,
    )
    parser.add_argument("--version", action="version", version=f"BreastPredict {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo.add_commands(commands, common)
    look.add_commands(commands, common)
    her2.add_commands(commands, common)
    pcr.add_commands(commands, common)
    reader.add_commands(commands, common)
    worker.add_commands(commands, common)
    return parser
