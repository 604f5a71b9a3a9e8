"""What is known of a HER2 model without its networks: enough to prepare, check and report a case.

Needs no torch, so that the reading and writing of many cases can be done in light processes while
one process holds the networks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom import Study
from breastpredict.errors import InputError
from breastpredict.her2.cases import CLASSES, LOW_VS_POSITIVE, ZERO_VS_REST, Her2Class
from breastpredict.her2.gates import GATES
from breastpredict.her2.inputs import PreparedCase, prepare_case
from breastpredict.her2.roi_policy import RoiPolicy
from breastpredict.learning.scoring import TaskScore, score_of

Explain = Literal["attention", "evidence", "rollout"]


@dataclass(frozen=True)
class Her2Outputs:
    """What the networks say of an image.

    Attributes:
        scores: of task 1 and task 2.
        map: ``[S, S]`` float32 on the network's input; None where none was asked for.
        map_label: what it is, in words.
        map_method: "attention", "evidence" or "rollout"; empty where there is none.
        class_agnostic: the map is the same for every class.
    """

    scores: tuple[TaskScore, TaskScore]
    map: NDArray[np.float32] | None = field(repr=False)
    map_label: str
    map_method: str
    class_agnostic: bool

    @property
    def predicted_class(self) -> Her2Class:
        """By the cascade with both thresholds."""
        return predicted_class(self.scores)


def predicted_class(scores: tuple[TaskScore, TaskScore]) -> Her2Class:
    """Zero below the first task's threshold; else low at or above the second's; else positive."""
    if not scores[0].above:
        return "zero"
    return "low" if scores[1].above else "positive"


def deciding_task(scores: tuple[TaskScore, TaskScore]) -> str:
    """The task that decided the class: the one whose map is shown."""
    return ZERO_VS_REST if predicted_class(scores) == "zero" else LOW_VS_POSITIVE


@dataclass(frozen=True)
class Her2Prediction:
    """What the model says of a case.

    Attributes:
        probabilities: of zero, low and positive; they sum to one.
        predicted_class: by the cascade with both thresholds: zero below the first; else low at or
            above the second; else positive. It need not be the largest probability.
        scores: of task 1 and task 2.
        map: float32 on the slice of ``prepared.phase.geometry``; None where none was asked for.
        map_task: the task it explains: the one that decided the class.
        map_label: what it is, in words.
        map_method: "attention", "evidence" or "rollout".
        class_agnostic: the map is the same for every class.
        overrides: gates that would have refused, and a margin set by hand, in words.
        synthetic: the model was trained on synthetic data.
        weights: task → SHA-256.
        device: it was computed on.
    """

    prepared: PreparedCase = field(repr=False)
    probabilities: dict[Her2Class, float]
    predicted_class: Her2Class
    scores: tuple[TaskScore, TaskScore]
    map: sitk.Image | None = field(repr=False)
    map_task: str
    map_label: str
    map_method: str
    class_agnostic: bool
    overrides: tuple[str, ...]
    synthetic: bool
    weights: dict[str, str]
    device: str


class Her2Facts:
    """A run's two models without their networks.

    Args:
        blocks: task → the metadata block of its bundle.
        weights: task → SHA-256 of its weights.
        folders: task → its bundle, for errors.
        device: what the networks run on.
    """

    def __init__(
        self,
        blocks: Mapping[str, dict[str, Any]],
        weights: Mapping[str, str],
        folders: Mapping[str, Path],
        device: str,
    ) -> None:
        self.blocks = dict(blocks)
        self.weights = dict(weights)
        self.device = device
        self._folders = dict(folders)
        block = self.blocks[ZERO_VS_REST]
        self.image_size = int(block["network"]["image_size"])
        self.policy = RoiPolicy.from_block(block)

    @property
    def synthetic(self) -> bool:
        """Whether any of the two was trained on synthetic data."""
        return any(block["synthetic"] for block in self.blocks.values())

    def prepare(
        self,
        study: str | os.PathLike[str] | Study,
        *,
        margin: float | None = None,
        **reading: Any,
    ) -> PreparedCase:
        """A case with the input the model was trained on: size, region and margin.

        Args:
            study: as `prepare_case` takes it.
            margin: another margin than the model's; `predict` then says so.
            reading: the other arguments of `prepare_case`.

        Raises:
            InputError, GateRefusal: as `prepare_case`.
        """
        return prepare_case(
            study,
            image_size=self.image_size,
            roi=self.policy.roi,
            margin=self.policy.margin if margin is None else margin,
            **reading,
        )

    def check(self, prepared: PreparedCase, override_gates: Sequence[str] = ()) -> tuple[str, ...]:
        """What was overridden, in words.

        Raises:
            GateRefusal: the case is unlike the training data.
            InputError: an unknown override, or a case prepared for another kind of model.
        """
        if prepared.policy.roi != self.policy.roi:
            raise InputError(
                f"The case was prepared as {prepared.policy.words}; the model was trained on "
                f"{self.policy.words}",
                remedy="Prepare it with Her2Model.prepare",
            )
        training = self.blocks[ZERO_VS_REST]["training_data"]
        notes = GATES.check(prepared.features, training, override_gates)
        if self.policy.roi != "breast" and prepared.policy.margin != self.policy.margin:
            notes += (
                f"The margin was set to {prepared.policy.margin:g} by hand; the model was trained "
                f"with {self.policy.margin:g}.",
            )
        return notes

    def scores(self, logits: Mapping[str, float]) -> tuple[TaskScore, TaskScore]:
        """Task 1's and task 2's score of their networks' logits.

        Raises:
            InputError: a logit that is not finite.
        """
        first, second = (
            score_of(logits[task], self.blocks[task], self._folders[task])
            for task in (ZERO_VS_REST, LOW_VS_POSITIVE)
        )
        return first, second

    def prediction(
        self, prepared: PreparedCase, outputs: Her2Outputs, overrides: tuple[str, ...]
    ) -> Her2Prediction:
        """What the networks said of a case's image, as a prediction of the case.

        Args:
            prepared: the case.
            outputs: of `Her2Model.outputs`, for ``prepared.image``.
            overrides: of `check`.
        """
        p1, p2 = (score.score for score in outputs.scores)
        values = dict(zip(CLASSES, (1.0 - p1, p1 * p2, p1 * (1.0 - p2)), strict=True))
        return Her2Prediction(
            prepared=prepared,
            probabilities=values,
            predicted_class=outputs.predicted_class,
            scores=outputs.scores,
            map=None if outputs.map is None else prepared.roi.place(outputs.map),
            map_task=deciding_task(outputs.scores) if outputs.map is not None else "",
            map_label=outputs.map_label,
            map_method=outputs.map_method,
            class_agnostic=outputs.class_agnostic,
            overrides=overrides,
            synthetic=self.synthetic,
            weights=self.weights,
            device=self.device,
        )
