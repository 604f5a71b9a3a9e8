"""Writing files so that they appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ASIDE = "-old"


@contextmanager
def write_atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    The temporary name keeps the suffix of ``path``, because many writers choose the format by it.
    A block that raises leaves an existing file as it was and no temporary file behind.

    Raises:
        OSError: the file cannot be written; names ``path``.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(target.suffixes)
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        # mkstemp makes the file private to its owner; a result is as readable as its folder says.
        os.chmod(temporary, 0o666 & ~_umask())
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise _naming(error, temporary, target) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text atomically with LF line ends."""
    with write_atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as f:
        f.write(text)


@contextmanager
def write_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; it takes its place when the block succeeds.

    A block that raises leaves an existing folder as it was. What a killed run left behind is
    cleared, and the old folder restored where the kill came between the two renames.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".part-{target.name}-"
    for left in target.parent.glob(f"{prefix}*"):
        if left.name.endswith(_ASIDE) and not target.exists():
            os.replace(left, target)
        else:
            shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    aside = temporary.with_name(temporary.name + _ASIDE)
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        if target.exists():
            os.replace(target, aside)
        try:
            os.replace(temporary, target)
        except BaseException:
            if aside.exists():
                os.replace(aside, target)
            raise
    finally:
        for left in (temporary, aside):
            shutil.rmtree(left, ignore_errors=True)


def _naming(error: OSError, temporary: Path, target: Path) -> OSError:
    """The error with the file's real name; pydicom hides what happened behind a traceback."""
    cause: BaseException | None = error
    while isinstance(cause, OSError) and cause.errno is None:
        cause = cause.__context__
    if not isinstance(cause, OSError) or cause.filename not in (None, str(temporary)):
        return error
    return OSError(cause.errno, cause.strerror, str(target))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
