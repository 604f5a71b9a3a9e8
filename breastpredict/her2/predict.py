"""The cascade: HER2-zero against the rest, then HER2-low against positive."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom import Study
from breastpredict.errors import InputError
from breastpredict.her2.cases import POINTS_TO
from breastpredict.her2.facts import (
    Explain,
    Her2Facts,
    Her2Outputs,
    Her2Prediction,
    deciding_task,
)
from breastpredict.her2.inputs import PreparedCase
from breastpredict.her2.roi_policy import RoiPolicy
from breastpredict.learning.recalibration import Recalibration
from breastpredict.learning.scoring import TaskScore
from breastpredict.models.device import resolve_device

if TYPE_CHECKING:
    from breastpredict.models import Bundle

__all__ = ["Explain", "Her2Model", "Her2Prediction", "TaskScore"]


class Her2Model:
    """Both bundles of a run, loaded once.

    Attributes:
        facts: what is known without the networks; what it does, it does without torch.
    """

    def __init__(self, bundles: dict[str, Bundle], device: str) -> None:
        self._bundles = bundles
        self.facts = Her2Facts(
            {task: bundle.block for task, bundle in bundles.items()},
            {task: bundle.sha256 for task, bundle in bundles.items()},
            {task: bundle.folder for task, bundle in bundles.items()},
            device,
        )
        self.device = device
        self.image_size = self.facts.image_size
        self.policy = self.facts.policy

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
            block = read_bundle_metadata(folder / task, "her2")["breastpredict"]
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
        return cls({task: load_bundle(folder / task, device, "her2") for task in POINTS_TO}, device)

    @property
    def synthetic(self) -> bool:
        """Whether any of the two was trained on synthetic data."""
        return self.facts.synthetic

    @property
    def weights(self) -> dict[str, str]:
        """Task → SHA-256 of its weights."""
        return self.facts.weights

    def block(self, task: str) -> dict[str, Any]:
        """A task's metadata block."""
        return self._bundles[task].block

    def prepare(self, study: str | os.PathLike[str] | Study, **reading: Any) -> PreparedCase:
        """As `Her2Facts.prepare`."""
        return self.facts.prepare(study, **reading)

    def logits(self, prepared: PreparedCase) -> dict[str, float]:
        """Task → the network's own logit, before any recalibration. No gate is asked."""
        import torch

        from breastpredict.models import predict_with_map

        x = torch.from_numpy(prepared.image)[None].to(self.device)
        return {
            task: predict_with_map(bundle.model, x, None).logit
            for task, bundle in self._bundles.items()
        }

    def embedding(self, prepared: PreparedCase) -> dict[str, NDArray[np.float32]]:
        """Task → what the network's last layer makes its logit of [width]. No gate is asked."""
        import torch

        x = torch.from_numpy(prepared.image)[None].to(self.device)
        out = {}
        with torch.inference_mode():
            for task, bundle in self._bundles.items():
                model: Any = bundle.model
                found = model.forward_head(model.forward_features(x), pre_logits=True)
                out[task] = found[0].float().cpu().numpy()
        return out

    def check(self, prepared: PreparedCase, override_gates: Sequence[str] = ()) -> tuple[str, ...]:
        """As `Her2Facts.check`."""
        return self.facts.check(prepared, override_gates)

    def outputs(
        self, image: NDArray[np.float32], explain: Explain | None = "attention"
    ) -> Her2Outputs:
        """What the networks say of one image ``[1, S, S]``. No gate is asked.

        Raises:
            InputError: a network gives no finite number.
        """
        import torch

        from breastpredict.models import predict_with_map

        x = torch.from_numpy(image)[None].to(self.device)
        # Both tasks are scored for every case: the three values need both. The attention map costs
        # next to nothing on top of a prediction, so it is made for both and one is kept; the
        # dearer evidence map is made once the deciding task is known.
        cheap = None if explain == "evidence" else explain
        results = {
            task: predict_with_map(bundle.model, x, cheap) for task, bundle in self._bundles.items()
        }
        scores = self.facts.scores({task: found.logit for task, found in results.items()})
        task = deciding_task(scores)
        found = results[task]
        if explain == "evidence":
            found = predict_with_map(self._bundles[task].model, x, explain)
        return Her2Outputs(scores, found.map, found.label, explain or "", found.class_agnostic)

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
        overrides = self.check(prepared, override_gates)
        return self.facts.prediction(prepared, self.outputs(prepared.image, explain), overrides)
