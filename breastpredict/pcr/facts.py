"""What is known of a run's pCR models without their networks: enough to prepare and report a case.

Needs no torch, so that the reading and writing of many cases can be done in light processes while
one process holds the networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.learning.scoring import TaskScore, score_of
from breastpredict.pcr.baseline import ClinicalBaseline
from breastpredict.pcr.cases import PcrCase
from breastpredict.pcr.clinical import NAMES
from breastpredict.pcr.gates import GATES
from breastpredict.pcr.inputs import TITLES, PreparedPcr, given_inputs, prepare_pcr
from breastpredict.pcr.policy import PcrPolicy

MapMethod = Literal["gradcam", "occlusion"]
MAP_METHODS: tuple[MapMethod, ...] = get_args(MapMethod)
EXPLANATIONS: dict[str, tuple[MapMethod, ...]] = {
    "both": MAP_METHODS,
    **{method: (method,) for method in MAP_METHODS},
    "none": (),
}
"""What of the maps can be asked for, by the name that users choose."""
NOT_VERIFIED = "not verified"
"""Of a map whose method has not found planted lesions with this bundle (`pcr verify`)."""


def bundle_name(variant: str) -> str:
    """The bundle of a variant of `breastpredict.models.pcr_network.PCR_VARIANTS`."""
    return f"pcr_{variant.replace('-', '_')}"


@dataclass(frozen=True)
class PcrMap:
    """What one method says of every image.

    Attributes:
        method: "gradcam" or "occlusion".
        label: what it is, in words.
        verified: the bundle has passed the pointing test with it.
        values: input → float32: ``us0``, ``us1`` ``[S, S]``, ``pathology`` ``[9, S, S]``.
    """

    method: MapMethod
    label: str
    verified: bool
    values: Mapping[str, NDArray[np.float32]] = field(repr=False)

    @property
    def name(self) -> str:
        """Short, with what must be read with it."""
        name = {"gradcam": "Grad-CAM", "occlusion": "Occlusion"}[self.method]
        return name if self.verified else f"{name} ({NOT_VERIFIED})"

    @property
    def title(self) -> str:
        """The label, with what must be read with it."""
        return self.label if self.verified else f"{self.label} ({NOT_VERIFIED})"


@dataclass(frozen=True)
class PcrInputs:
    """What the network gets of a prepared case: which variant, and its arrays."""

    variant: str
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)


@dataclass(frozen=True)
class PcrOutputs:
    """What the network says of a case.

    Attributes:
        logit: of the network, before any recalibration.
        maps: by method.
    """

    logit: float
    maps: tuple[PcrMap, ...] = field(repr=False)


@dataclass(frozen=True)
class PcrPrediction:
    """What the model says of a patient.

    Attributes:
        score: points to a complete response.
        baseline: what the clinical variables alone give; None where they are not known, or the run
            has no baseline.
        variant: name of the bundle that was used.
        inputs: names of its inputs.
        unused: inputs that were given and that the variant does not take.
        maps: by method.
        overrides: gates that would have refused, in words.
        synthetic: the model was trained on synthetic data.
        weights: variant → SHA-256.
        device: it was computed on.
    """

    prepared: PreparedPcr = field(repr=False)
    score: TaskScore
    baseline: float | None
    variant: str
    inputs: tuple[str, ...]
    unused: tuple[str, ...]
    maps: tuple[PcrMap, ...] = field(repr=False)
    overrides: tuple[str, ...]
    synthetic: bool
    weights: dict[str, str]
    device: str

    @property
    def expected(self) -> bool:
        """Whether a complete response is expected, by the threshold."""
        return self.score.above


@dataclass(frozen=True)
class PcrFacts:
    """A run's variants without their networks.

    Attributes:
        folder: of the run.
        blocks: variant → the metadata block of its bundle.
        baseline: of the clinical variables alone; None where the run has none.
        device: what the networks run on.
    """

    folder: Path
    blocks: Mapping[str, dict[str, Any]] = field(repr=False)
    baseline: ClinicalBaseline | None = field(repr=False)
    device: str

    @property
    def variants(self) -> dict[str, tuple[str, ...]]:
        """Variant → the inputs it takes."""
        return {name: tuple(block["network"]["modalities"]) for name, block in self.blocks.items()}

    def choose(self, case: PcrCase, variant: str | None = None) -> str:
        """The variant for what there is of a patient: the one that takes the most of it.

        Of equals the one whose name comes first.

        Args:
            case: the patient.
            variant: a name, instead of the rule.

        Raises:
            InputError: no variant was trained for these inputs, or there is none of that name.
        """
        if variant is not None:
            bundle = bundle_name(variant)  # as training calls it, or as its folder is called
            variant = bundle if bundle in self.blocks else variant
            if variant not in self.blocks:
                raise InputError(
                    f"The run has no variant {variant[:60]!r}",
                    path=self.folder,
                    remedy=f"Use one of {', '.join(self.blocks)}",
                )
            return variant
        fitting = [name for name in self.blocks if not self._lacking(name, case)]
        if not fitting:
            have = ", ".join(TITLES[name] for name in given_inputs(case)) or "nothing"
            want = "; ".join(
                f"{name} needs {', '.join(TITLES[one] for one in inputs)}"
                for name, inputs in self.variants.items()
            )
            missing = case.clinical.missing
            unknown = f"; not known: {', '.join(missing)}" if missing else ""
            raise InputError(
                f"No variant of the model was trained for what is given ({have}{unknown})",
                path=self.folder,
                remedy=f"Give more, or train such a variant: {want}",
            )
        return max(sorted(fitting), key=lambda name: len(self.variants[name]))

    def prepare(self, case: PcrCase, variant: str | None = None) -> tuple[str, PreparedPcr]:
        """The variant for a patient, and the inputs that it was trained on.

        Raises:
            InputError, GateRefusal: as `choose` and `prepare_pcr`.
        """
        name = self.choose(case, variant)
        network = self.blocks[name]["network"]
        return name, prepare_pcr(
            case,
            needs=self.variants[name],
            image_size=int(network["image_size"]),
            clinical_names=network["clinical"],
            policy=PcrPolicy.from_block(self.blocks[name]),
        )

    def check(
        self, variant: str, prepared: PreparedPcr, override_gates: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """What was overridden, in words.

        Raises:
            GateRefusal: the case is unlike the training data.
            InputError: an unknown override.
        """
        training = self.blocks[variant]["training_data"]
        return GATES.check({**prepared.features, **prepared.problems}, training, override_gates)

    def prediction(
        self,
        variant: str,
        prepared: PreparedPcr,
        outputs: PcrOutputs,
        overrides: tuple[str, ...],
    ) -> PcrPrediction:
        """What the network said of a patient's inputs, as a prediction.

        Args:
            variant, prepared: of `prepare`.
            outputs: of `PcrModel.outputs`, for these inputs.
            overrides: of `check`.

        Raises:
            InputError: a logit that is not finite.
        """
        block, inputs = self.blocks[variant], self.variants[variant]
        baseline = None
        if self.baseline is not None and not prepared.clinical.missing:
            baseline = self.baseline.probability(prepared.clinical)
        return PcrPrediction(
            prepared=prepared,
            score=score_of(outputs.logit, block, self.folder / variant),
            baseline=baseline,
            variant=variant,
            inputs=inputs,
            unused=tuple(name for name in prepared.given if name not in inputs),
            maps=outputs.maps,
            overrides=overrides,
            synthetic=bool(block["synthetic"]),
            weights={variant: str(block["weights_sha256"])},
            device=self.device,
        )

    def _lacking(self, variant: str, case: PcrCase) -> list[str]:
        """Inputs and clinical variables that the variant needs and the patient lacks."""
        given = given_inputs(case)
        lacking = [name for name in self.variants[variant] if name not in given]
        needed = {str(name).split()[0] for name in self.blocks[variant]["network"]["clinical"]}
        return lacking + [name for name in NAMES if name in needed & set(case.clinical.missing)]
