"""Child processes: started with the right Python, killed with all that they started.

Needs the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from breastpredict.errors import InputError


def python() -> str:
    """The Python to start: PythonSlicer inside of Slicer, where ``sys.executable`` is Slicer."""
    return shutil.which("PythonSlicer") or sys.executable


def start(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that finds this backend and is spoken to through its standard streams.

    Its standard error is thrown away unless BREASTPREDICT_DEBUG is set: a pipe that nobody reads
    would block it, and what libraries print may name patients.

    Args:
        command: the words of the command line.
        environment: what is to be other than here.

    Raises:
        InputError: it cannot be started.
    """
    variables = {**os.environ, **(environment or {})}
    backend = str(Path(__file__).resolve().parents[1])
    path = variables.get("PYTHONPATH")
    variables["PYTHONPATH"] = f"{backend}{os.pathsep}{path}" if path else backend
    variables["PYTHONUNBUFFERED"] = "1"
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if variables.get("BREASTPREDICT_DEBUG") else subprocess.DEVNULL,
            env=variables,
            start_new_session=True,  # so that all it starts can be killed with it
            creationflags=flags,
        )
    except OSError as error:
        raise InputError(
            f"The worker process cannot be started ({error.strerror})", path=command[0]
        ) from error


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process of `start` and all that it started."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False
        )
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
