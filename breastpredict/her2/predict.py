"""The cascade: HER2-zero against the rest, then HER2-low against positive."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import SimpleITK as sitk

from breastpredict.dicom import Study
from breastpredict.errors import InputError
from breastpredict.her2.cases import CLASSES, LOW_VS_POSITIVE, POINTS_TO, ZERO_VS_REST, Her2Class
from breastpredict.her2.gates import GATES
from breastpredict.her2.inputs import PreparedCase, prepare_case
from breastpredict.her2.roi_policy import RoiPolicy
from breastpredict.learning.recalibration import Recalibration

if TYPE_CHECKING:
    from breastpredict.models import Bundle

Explain = Literal["attention", "evidence", "rollout"]


@dataclass(frozen=True)
class TaskScore:
    """One task's output.

    Attributes:
        task: its name.
        points_to: the class a high score speaks for.
        score: from 0 to 1.
        threshold: chosen on training data or, after a recalibration, on local patients; positive
            means score >= threshold.
        calibrated: the score is corrected to the training prevalence, or fitted to local patients,
            and may be called a probability there.
        calibration: what made score and threshold what they are, in words.
        above: score >= threshold.
    """

    task: str
    points_to: str
    score: float
    threshold: float
    calibrated: bool
    calibration: str = ""

    @property
    def above(self) -> bool:
        return self.score >= self.threshold


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


class Her2Model:
    """Both bundles of a run, loaded once."""

    def __init__(self, bundles: dict[str, Bundle], device: str) -> None:
        self._bundles = bundles
        self.device = device
        block = bundles[ZERO_VS_REST].block
        self.image_size = int(block["network"]["image_size"])
        self.policy = RoiPolicy.from_block(block)

    @classmethod
    def load(cls, run: str | os.PathLike[str], device: str = "cpu") -> Her2Model:
        """Load a run folder's two bundles. Nothing in them is executed.

        Raises:
            InputError: no run, damaged or changed files, or bundles that do not fit together.
        """
        from breastpredict.models import load_bundle, read_bundle_metadata

        folder = Path(run)
        if not folder.is_dir():
            raise InputError("There is no such run folder", path=folder)
        device = resolve_device(device)
        sizes = set()
        policies = set()
        for task, positive in POINTS_TO.items():  # headers first: loading torch takes seconds
            block = read_bundle_metadata(folder / task)["breastpredict"]
            sizes.add(block["network"]["image_size"])
            policies.add(RoiPolicy.from_block(block))
            Recalibration.from_block(block)
            if block["task"] != task or block["positive_class"] != positive:
                raise InputError(
                    f"The bundle is of task '{block['task']}' for class "
                    f"'{block['positive_class']}', not of '{task}' for '{positive}'",
                    path=folder / task,
                )
        if len(sizes) > 1:
            raise InputError("The two bundles take inputs of different sizes", path=folder)
        if len(policies) > 1:
            raise InputError("The two bundles were trained on different regions", path=folder)
        return cls({task: load_bundle(folder / task, device) for task in POINTS_TO}, device)

    @property
    def synthetic(self) -> bool:
        """Whether any of the two was trained on synthetic data."""
        return any(bundle.block["synthetic"] for bundle in self._bundles.values())

    @property
    def weights(self) -> dict[str, str]:
        """Task → SHA-256 of its weights."""
        return {task: bundle.sha256 for task, bundle in self._bundles.items()}

    def block(self, task: str) -> dict[str, Any]:
        """A task's metadata block."""
        return self._bundles[task].block

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

    def logits(self, prepared: PreparedCase) -> dict[str, float]:
        """Task → the network's own logit, before any recalibration. No gate is asked."""
        import torch

        from breastpredict.models import predict_with_map

        x = torch.from_numpy(prepared.image)[None].to(self.device)
        return {
            task: predict_with_map(bundle.model, x, None).logit
            for task, bundle in self._bundles.items()
        }

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
        training = self._bundles[ZERO_VS_REST].block["training_data"]
        notes = GATES.check(prepared.features, training, override_gates)
        if self.policy.roi != "breast" and prepared.policy.margin != self.policy.margin:
            notes += (
                f"The margin was set to {prepared.policy.margin:g} by hand; the model was trained "
                f"with {self.policy.margin:g}.",
            )
        return notes

    def predict(
        self,
        prepared: PreparedCase,
        explain: Explain | None = "attention",
        override_gates: Sequence[str] = (),
    ) -> Her2Prediction:
        """Score a case.

        Raises:
            GateRefusal: the case is unlike the training data; there is no number.
            InputError: an unknown override, or a case prepared for another kind of model.
        """
        import torch

        from breastpredict.models import predict_with_map

        overrides = self.check(prepared, override_gates)
        x = torch.from_numpy(prepared.image)[None].to(self.device)
        first, second = self._bundles[ZERO_VS_REST], self._bundles[LOW_VS_POSITIVE]
        # Both tasks are scored for every case: the three values need both. The attention map costs
        # next to nothing on top of a prediction, so it is made for both and one is kept; the
        # dearer evidence map is made once the deciding task is known.
        cheap = None if explain == "evidence" else explain
        results = {
            task: predict_with_map(bundle.model, x, cheap)
            for task, bundle in ((ZERO_VS_REST, first), (LOW_VS_POSITIVE, second))
        }
        scores = (
            self._score(ZERO_VS_REST, results[ZERO_VS_REST].logit),
            self._score(LOW_VS_POSITIVE, results[LOW_VS_POSITIVE].logit),
        )
        p1, p2 = scores[0].score, scores[1].score
        values = dict(zip(CLASSES, (1.0 - p1, p1 * p2, p1 * (1.0 - p2)), strict=True))
        predicted: Her2Class
        rest: Her2Class = "low" if scores[1].above else "positive"
        predicted = rest if scores[0].above else "zero"
        task = ZERO_VS_REST if predicted == "zero" else LOW_VS_POSITIVE
        found = results[task]
        if explain == "evidence":
            found = predict_with_map(self._bundles[task].model, x, explain)
        return Her2Prediction(
            prepared=prepared,
            probabilities=values,
            predicted_class=predicted,
            scores=scores,
            map=None if found.map is None else prepared.roi.place(found.map),
            map_task=task if found.map is not None else "",
            map_label=found.label,
            map_method=explain or "",
            class_agnostic=found.class_agnostic,
            overrides=overrides,
            synthetic=self.synthetic,
            weights=self.weights,
            device=self.device,
        )

    def _score(self, task: str, logit: float) -> TaskScore:
        block = self._bundles[task].block
        if not math.isfinite(logit):
            raise InputError("The model gave no finite number", path=self._bundles[task].folder)
        local = Recalibration.from_block(block)
        if local is not None:
            logit = local.logit(logit)
        score = 1.0 / (1.0 + math.exp(-logit)) if logit > -700 else 0.0
        calibrated = block.get("calibration", {}).get("probability") is True
        words = local.words if local is not None else ""
        return TaskScore(task, POINTS_TO[task], score, float(block["threshold"]), calibrated, words)


def resolve_device(device: str) -> str:
    """ "auto" → CUDA where there is one, else the CPU; anything else as it is."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
