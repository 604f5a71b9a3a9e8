"""Reasons not to predict: the case is no case for this model.

A gate compares a feature of the case with what the training data recorded in the bundle looked
like. A refusal has a reason and no number. A gate can be overridden by name; that is recorded
wherever the prediction is. Which gates there are is each system's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from breastpredict.errors import GateRefusal, InputError

Features = Mapping[str, float | str]


@dataclass(frozen=True)
class Gate:
    """One gate: its name and the check that gives a reason, or nothing.

    The check takes the features of a case and the ``training_data`` of the bundle.
    """

    name: str
    check: Callable[[Features, Mapping[str, Any]], str | None]


@dataclass(frozen=True)
class Gates:
    """The gates of a system.

    Attributes:
        gates: in the order in which they are named.
        never: names of refusals that leave nothing to compute, and so cannot be overridden.
    """

    gates: tuple[Gate, ...]
    never: tuple[str, ...] = ()

    def check(
        self, features: Features, training: Mapping[str, Any], override: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Apply every gate.

        Args:
            features: of the case.
            training: ``training_data`` of the bundle.
            override: names of gates that may not refuse.

        Returns:
            One sentence for each gate that was overridden and would have refused.

        Raises:
            GateRefusal: the first gate that refuses; the reason names all of them.
            InputError: an override that is no gate, or of one that leaves nothing to compute.
        """
        self.check_overrides(override)
        refusals = [(one.name, why) for one in self.gates if (why := one.check(features, training))]
        standing = [(name, why) for name, why in refusals if name not in override]
        if standing:
            reason = "; ".join(
                f"{why} ({name})" if len(standing) > 1 else why for name, why in standing
            )
            raise GateRefusal(standing[0][0], reason[0].upper() + reason[1:] + ".")
        return tuple(f"Gate '{name}' was overridden: {why}." for name, why in refusals)

    def check_overrides(self, names: Iterable[str]) -> None:
        """Raise InputError for a name that cannot be overridden."""
        known = [gate.name for gate in self.gates]
        for name in names:
            if name in self.never:
                raise InputError(
                    f"The gate '{name}' cannot be overridden: there is nothing to compute"
                )
            if name not in known:
                raise InputError(
                    f"There is no gate '{name}'", remedy=f"Use one of {', '.join(known)}"
                )


def trained_range(training: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """Smallest and largest value of a feature in the training; None where not recorded."""
    found = training.get(name)
    if not isinstance(found, Mapping):
        return None
    try:
        return float(found["min"]), float(found["max"])
    except (KeyError, TypeError, ValueError):
        return None
