"""One writer at a time in a results folder."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from pathlib import Path
from types import TracebackType

import psutil

from breastpredict.errors import InputError

_AT = 1 << 30  # Windows locks bytes; this one is beyond the text, so that others can read that
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_PATIENCE_S = 20.0


class FolderLock:
    """The right to change what a results folder counts; a context manager.

    The operating system holds the lock and frees it when the process ends, however it ends: there
    is no stale lock. Where the file system has no locks, the process that is named in the file
    stands for it: dead on this machine, its lock is taken over.

    Args:
        folder: it must be there.
        task: what the lock is for, in a word. A running batch is not waited for, a single case is.

    Raises:
        InputError: another process has it.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, task: str) -> None:
        self._path = folder / ".lock"
        self._task = task
        self._handle: int | None = None

    def __enter__(self) -> FolderLock:
        deadline = time.monotonic() + _PATIENCE_S
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            while not self._taken(handle):
                task, who = self._holder()
                if "batch" in (task, self._task) or time.monotonic() > deadline:
                    raise InputError(
                        f"Another run writes into this results folder{who}",
                        path=self._path.parent,
                        remedy="Wait for its end, or choose another folder",
                    )
                time.sleep(0.05)
            text = f"{self._task} {os.getpid()} {socket.gethostname()}\n"
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, text.encode())
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._handle is not None
        with contextlib.suppress(OSError):  # a disk that is gone: the lock went with it
            os.ftruncate(self._handle, 0)  # empty: nobody has it
        with contextlib.suppress(OSError):
            os.close(self._handle)
        self._handle = None

    def _taken(self, handle: int) -> bool:
        """Whether this process has the lock now."""
        try:
            if sys.platform == "win32":
                import msvcrt

                os.lseek(handle, _AT, os.SEEK_SET)
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
                os.lseek(handle, 0, os.SEEK_SET)
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return not self._alive()
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

    def _words(self) -> list[str]:
        with contextlib.suppress(OSError):
            return self._path.read_text("utf-8", "replace").split()
        return []

    def _holder(self) -> tuple[str, str]:
        """For what the lock is held, and by whom in words, as far as the file tells."""
        words = self._words()
        if len(words) != 3:
            return "", ""
        return words[0], f" (process {words[1]} on {words[2]})"

    def _alive(self) -> bool:
        """Whether the process in the file may still run."""
        words = self._words()
        if len(words) != 3 or not words[1].isdigit():
            return False
        return words[2] != socket.gethostname() or psutil.pid_exists(int(words[1]))
