"""The state of a training after an epoch: enough to go on as if nothing had happened.

No random state is stored, because every epoch starts its streams from (seed, epoch): see
``breastpredict.learning.data``.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from breastpredict.errors import InputError
from breastpredict.files import write_atomic
from breastpredict.learning.examples import EpochRecord, LearningCase

State = dict[str, Any]


@dataclass
class TrainingState:
    """What changes from epoch to epoch.

    Attributes:
        fingerprint: of the configuration and the cases.
        epoch: last finished epoch.
        history: one record per finished epoch.
        best: weights of the best epoch so far.
        model, average, optimizer, scheduler: state dictionaries (``average`` may be None).
    """

    fingerprint: str
    epoch: int = 0
    history: list[EpochRecord] = field(default_factory=list)
    best: State = field(default_factory=dict)
    model: State = field(default_factory=dict)
    average: State | None = None
    optimizer: State = field(default_factory=dict)
    scheduler: State = field(default_factory=dict)


def save(path: Path, state: TrainingState) -> None:
    """Write the state so that a kill at any moment leaves this or the previous one."""
    content = dict(vars(state))
    content["history"] = [asdict(record) for record in state.history]
    with write_atomic(path) as temporary:
        torch.save(content, temporary)


def load(path: Path, fingerprint: str) -> TrainingState:
    """Read a state, tensors and plain values only.

    Raises:
        InputError: damaged file; state of another configuration or other cases.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        content["history"] = [EpochRecord(**record) for record in content["history"]]
        state = TrainingState(**content)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise InputError(
            "The training cannot be resumed: its checkpoint is damaged",
            path=path,
            remedy="Delete it to start this task again",
        ) from error
    if state.fingerprint != fingerprint:
        raise InputError(
            "The training cannot be resumed: it was started with other settings or other cases",
            path=path,
            remedy="Use the settings and cases it was started with, or another run folder",
        )
    return state


def fingerprint(
    settings: Mapping[str, Any],
    sets: Mapping[str, Sequence[LearningCase]],
    names: Collection[str] | None = None,
) -> str:
    """SHA-256 of the settings and of every example: key, label, the named inputs' values."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name in sorted(sets):
        for example in sets[name]:
            digest.update(json.dumps([name, example.key, example.label]).encode())
            for array in example.inputs(names).values():
                digest.update(array.tobytes())
    return digest.hexdigest()
