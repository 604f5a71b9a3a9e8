"""The trained pCR networks of a run: one bundle a variant, for the inputs it was trained on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breastpredict.errors import InputError
from breastpredict.learning.examples import network_array
from breastpredict.learning.recalibration import Recalibration
from breastpredict.models.device import resolve_device
from breastpredict.pcr.baseline import read_baseline
from breastpredict.pcr.cases import PcrCase
from breastpredict.pcr.facts import (
    MAP_METHODS,
    MapMethod,
    PcrFacts,
    PcrInputs,
    PcrMap,
    PcrOutputs,
    PcrPrediction,
)
from breastpredict.pcr.inputs import PreparedPcr
from breastpredict.pcr.policy import PcrPolicy

if TYPE_CHECKING:
    import torch

    from breastpredict.models import Bundle, PcrNetwork

METADATA = "configs/metadata.json"


class PcrModel:
    """The variants of a run; a network is loaded when it is first used, and once."""

    def __init__(self, facts: PcrFacts) -> None:
        self.facts = facts
        self._bundles: dict[str, Bundle] = {}

    @classmethod
    def load(cls, run: str | os.PathLike[str], device: str = "cpu") -> PcrModel:
        """Read what a run's bundles say of themselves. Nothing in them is executed.

        Args:
            run: the folder of a training, with one bundle or more, or a single bundle.
            device: as torch names it, or "auto".

        Raises:
            InputError: no run, damaged or changed files, or bundles of another system.
        """
        from breastpredict.models import read_bundle_metadata

        folder = Path(run)
        if not folder.is_dir():
            raise InputError("There is no such run folder", path=folder)
        found = [folder] if (folder / METADATA).is_file() else bundles_in(folder)
        if not found:
            raise InputError(
                "The folder holds no model bundle",
                path=folder,
                remedy="Give the folder that 'breastpredict pcr train' wrote",
            )
        blocks = {}
        for path in found:
            block = read_bundle_metadata(path, "pcr")["breastpredict"]
            PcrPolicy.from_block(block)
            Recalibration.from_block(block)
            blocks[path.name] = block
        run = found[0].parent
        return cls(PcrFacts(run, blocks, read_baseline(run), resolve_device(device)))

    def prepare(self, case: PcrCase, variant: str | None = None) -> tuple[str, PreparedPcr]:
        """See `PcrFacts.prepare`."""
        return self.facts.prepare(case, variant)

    def network(self, inputs: PcrInputs) -> tuple[PcrNetwork, dict[str, torch.Tensor]]:
        """A variant's network and one patient's inputs as it takes them (B = 1).

        Raises:
            InputError: the bundle is damaged, or these are not the inputs of its network.
        """
        import torch

        net: PcrNetwork = self._bundle(inputs.variant).model
        names = [name for name in (*net.inputs, *inputs.arrays) if name in inputs.arrays]
        tensors = {
            name: torch.from_numpy(network_array(name, inputs.arrays[name]))[None].to(
                self.facts.device
            )
            for name in dict.fromkeys(names)
        }
        net.check(tensors)
        return net, tensors

    def outputs(self, inputs: PcrInputs, explain: Sequence[MapMethod] = MAP_METHODS) -> PcrOutputs:
        """What a variant's network says of one patient's inputs. No gate is asked.

        Raises:
            InputError: as `network`.
        """
        from breastpredict.models import predict_with_maps

        bundle = self._bundle(inputs.variant)
        _, tensors = self.network(inputs)
        verified: dict[str, Any] = bundle.block.get("pointing", {})
        maps = []
        logit = None
        for method in explain:
            found = predict_with_maps(bundle.model, tensors, method)
            logit = found.logit if logit is None else logit
            passed = verified.get(method, {}).get("passed") is True
            maps.append(PcrMap(method, found.label, passed, found.maps))
        if logit is None:
            logit = predict_with_maps(bundle.model, tensors, None).logit
        return PcrOutputs(logit, tuple(maps))

    def predict(
        self,
        variant: str,
        prepared: PreparedPcr,
        explain: Sequence[MapMethod] = MAP_METHODS,
        override_gates: Sequence[str] = (),
    ) -> PcrPrediction:
        """Score a patient.

        Args:
            variant, prepared: of `prepare`.
            explain: the maps to make.
            override_gates: gates that may not refuse.

        Raises:
            GateRefusal: the case is unlike the training data; there is no number.
            InputError: an unknown override.
        """
        overrides = self.facts.check(variant, prepared, override_gates)
        outputs = self.outputs(PcrInputs(variant, prepared.inputs), explain)
        return self.facts.prediction(variant, prepared, outputs, overrides)

    def _bundle(self, variant: str) -> Bundle:
        if variant not in self._bundles:
            from breastpredict.models import load_bundle

            path = self.facts.folder / variant
            self._bundles[variant] = load_bundle(path, self.facts.device, "pcr")
        return self._bundles[variant]


def bundles_in(run: Path) -> list[Path]:
    """The bundles of a run, in the order of their names."""
    return sorted(path.parent.parent for path in run.glob(f"*/{METADATA}"))
