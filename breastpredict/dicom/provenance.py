"""What every written object says of how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from.

    Attributes:
        weights: task → SHA-256 of the weights.
        phase: which phase was used and why, in words.
        overrides: gates that were overridden, in words.
        synthetic: the model was trained on synthetic data.
        parameters: anything else, name → value.
        version: of BreastPredict.
    """

    weights: Mapping[str, str] = field(default_factory=dict)
    phase: str = ""
    overrides: tuple[str, ...] = ()
    synthetic: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__

    @property
    def statements(self) -> tuple[str, ...]:
        """What must be read with any result."""
        warning = (SYNTHETIC_WARNING,) if self.synthetic else ()
        return (RESEARCH_USE_ONLY, *warning, *self.overrides)

    @property
    def details(self) -> dict[str, str]:
        """Everything, as name → value."""
        return {
            "Software": f"BreastPredict {self.version}",
            **({"Phase": self.phase} if self.phase else {}),
            **{f"Weights SHA-256 {task}": digest for task, digest in self.weights.items()},
            **dict(self.parameters),
        }


@dataclass(frozen=True)
class Written:
    """A DICOM object that was written."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
