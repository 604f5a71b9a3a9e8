"""The errors a user may meet. Each is one line that says what is wrong, where, and what to do."""

from __future__ import annotations

from os import PathLike


class BreastPredictError(Exception):
    """Base of every error that is shown to the user without a traceback."""


class InputError(BreastPredictError):
    """Input that cannot be used.

    Args:
        problem: what is wrong, in the user's words.
        path: the file or folder it was found in.
        remedy: what to do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | PathLike[str] | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = problem
        self.path = None if path is None else str(path)
        self.remedy = remedy
        where = "" if path is None else f" [{path}]"
        what_to_do = "" if not remedy else f" {remedy.rstrip('.')}."
        super().__init__(_one_line(f"{problem.rstrip('.')}{where}.{what_to_do}"))


class GateRefusal(BreastPredictError):
    """A gate found the case unsuitable for the model: there is a reason and no number.

    Args:
        gate: the gate's name, as ``--override-gate`` takes it.
        reason: why the case was refused, in the user's words.
    """

    def __init__(self, gate: str, reason: str) -> None:
        self.gate = gate
        self.reason = reason
        super().__init__(_one_line(f"Refused by gate '{gate}': {reason}"))


def _one_line(text: str) -> str:
    """Text that quotes damaged files may hold anything: line ends, or what a terminal obeys."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def reason_of(error: OSError) -> str:
    """What the operating system said, and of which file, in one line."""
    reason = error.strerror or (str(error).splitlines() or [type(error).__name__])[0]
    return f"{reason} [{error.filename}]" if error.filename else reason
