"""Whether the maps of a run's networks find what was planted: ``pcr verify``.

A map is drawn beside a patient's images, so it must have shown that it can point. It is tried on
synthetic patients whose informative places are known (`PlantedCase`): the tumour on both ultrasound
images, in squares whose middle often lies outside of it (else a map that always points to the
middle would pass), and the patches that hold the lymphocytes. Of each method and image:

- *pointing*: share of the cases in which the map's largest value lies in a planted place;
- *energy*: share of the map's positive values in planted places, over these places' share of the
  image;
- *insertion*: see `breastpredict.models.map_tests`, against squares in random order.

A method passes where pointing reaches 0.8 and energy 3 on every image of the variant. Only patients
that the network itself calls positive count, for a map shows what speaks for pCR; with too few of
them the method is not assessed, and stays "not verified".

Further tests tell of the map what pointing cannot; they are reported and decide nothing:
forgetting (a map must change when the network unlearns), mirroring (the map of a mirrored image is
the mirrored map; networks with positions learn this, it is not built in), and constant images (no
number may be undefined).

The planted patients are phantoms. To a network that was trained on real patients they are strange:
that its maps find nothing there says little of them, and that they pass says little of its maps on
patients; a bundle that does not pass stays "not verified" all the same.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from breastpredict.errors import InputError
from breastpredict.files import write_folder
from breastpredict.learning.examples import PATHOLOGY, ULTRASOUND
from breastpredict.learning.scoring import score_of
from breastpredict.learning.site import check_target, copy_run_files
from breastpredict.pcr.baseline import FILE as BASELINE
from breastpredict.pcr.cases import PcrCase
from breastpredict.pcr.facts import MAP_METHODS, MapMethod, PcrInputs
from breastpredict.pcr.inputs import PreparedPcr
from breastpredict.pcr.predict import PcrModel
from breastpredict.pcr.ultrasound_roi import UltrasoundRoi

if TYPE_CHECKING:
    import torch

    from breastpredict.models import PcrNetwork

POINTING, ENERGY = 0.8, 3.0
"""What passes, at least (reference: the planted-lesion tests of maps on trained toy networks)."""

LEAST_CASES = 20
"""Positives below this are too few to assess a method."""

SIMILAR = 0.5
"""A map of a network that forgot must correlate less with the former, a mirrored one more."""

TESTED_FURTHER = 6
"""Cases of the further tests: each costs several maps."""

Status = Literal["passed", "failed", "not assessed"]
Progress = Callable[[int, int, str], None]
Maps = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class PlantedCase:
    """A synthetic patient whose informative places are known.

    Attributes:
        case: as of a cohort table.
        tumour: "us0", "us1" → bool ``[row, column]`` on the whole frame: the tumour's place, on
            US-1 also where it was.
        patches: bool ``[9]``: the patches that speak for pCR.
    """

    case: PcrCase
    tumour: Mapping[str, NDArray[np.bool_]] = field(repr=False)
    patches: NDArray[np.bool_] = field(repr=False)

    def places(self, prepared: PreparedPcr, size: int) -> dict[str, NDArray[np.bool_]]:
        """The planted places on the network's grid: ``[S, S]``, of the pathology ``[9, S, S]``."""
        found = {name: on_grid(roi, self.tumour[name], size) for name, roi in prepared.rois.items()}
        if prepared.pathology is not None:
            shape = (len(self.patches), size, size)
            found[PATHOLOGY] = np.broadcast_to(self.patches[:, None, None], shape)
        return found


@dataclass(frozen=True)
class PcrVerification:
    """What came out.

    Attributes:
        folder: the new run.
        pointing: variant → method → what stands in the bundle.
    """

    folder: Path
    pointing: Mapping[str, Mapping[str, Mapping[str, Any]]]


def verify_pcr(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    planted: Sequence[PlantedCase],
    *,
    planted_as: str = "",
    methods: Sequence[MapMethod] = MAP_METHODS,
    device: str = "cpu",
    progress: Progress | None = None,
) -> PcrVerification:
    """Test the maps of every variant and write a new run whose bundles say what passed.

    The weights stay; each bundle becomes a new version of itself. The run is not touched.

    Args:
        run: a trained run, or a single bundle.
        out: folder of the new run, new or empty.
        planted: synthetic patients.
        planted_as: what they are, in words, for the bundle.
        methods: of the maps.
        device: to compute on.
        progress: called with cases done, cases in all and a line.

    Raises:
        InputError: no usable run, no planted case, or ``out`` is not empty.
    """
    run, out = Path(run), Path(out)
    check_target(out)
    if not planted:
        raise InputError("There is no planted case to test the maps with")
    say = progress or (lambda done, total, line: None)
    model = PcrModel.load(run, device)
    source = model.facts.folder
    found: dict[str, dict[str, dict[str, Any]]] = {}
    total = len(planted) * len(model.facts.variants)
    for number, variant in enumerate(model.facts.variants):
        before = number * len(planted)

        def step(done: int, line: str, before: int = before) -> None:
            say(before + done, total, line)

        found[variant] = _verify(model, variant, planted, planted_as, methods, step)
    with write_folder(out) as temporary:
        from breastpredict.models import copy_bundle

        for variant, entries in found.items():
            words = "; ".join(f"{name} {entry['status']}" for name, entry in entries.items())
            kept = model.facts.blocks[variant].get("pointing", {})
            copy_bundle(
                source / variant,
                temporary / variant,
                {"pointing": {**kept, **entries}},
                f"maps tested on planted lesions: {words}",
            )
        copy_run_files(source, temporary, BASELINE, "local_validation.csv", "failures.csv")
    return PcrVerification(out, found)


def on_grid(roi: UltrasoundRoi, mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """A mask of the whole frame on the network's grid ``[S, S]``."""
    cut = (mask[roi.image.region.slices] * 255).astype(np.uint8)
    there = replace(roi, image=replace(roi.image, pixels=cut))
    return np.asarray(there.extract(size, outside=0.0) > 127.5)


def points_inside(values: NDArray[Any], place: NDArray[np.bool_]) -> bool:
    """Whether a map's largest value lies in a place; where it lies at several, most of them.

    A map that is flat, or that holds nothing positive, points nowhere.
    """
    top = float(values.max())
    if not top > 0 or float(values.min()) == top:
        return False
    # Maps by squares are flat around their summit: rounding must not choose one of its pixels.
    summit = values >= top - 1e-6 * abs(top)
    return bool(place[summit].mean() > 0.5)


def energy_inside(values: NDArray[Any], place: NDArray[np.bool_]) -> float:
    """Share of a map's positive values that lie in a place; 0 where none is positive."""
    positive = np.clip(np.asarray(values, np.float64), 0, None)
    whole = float(positive.sum())
    return float(positive[place].sum()) / whole if whole > 0 else 0.0


@dataclass
class _Measured:
    """Of one method and image, case by case."""

    points: list[bool] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    area: list[float] = field(default_factory=list)
    insertion: list[float] = field(default_factory=list)
    by_chance: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        gain = np.subtract(self.insertion, self.by_chance)
        error = float(gain.std(ddof=1)) / len(gain) ** 0.5 if len(gain) > 1 else 0.0
        return {
            "pointing": float(np.mean(self.points)),
            "energy_share": float(np.mean(self.energy)),
            "area_share": float(np.mean(self.area)),
            "energy": float(np.mean(self.energy) / np.mean(self.area)),
            "insertion": float(np.mean(self.insertion)),
            "insertion_random": float(np.mean(self.by_chance)),
            "insertion_gain_low": float(gain.mean()) - 1.96 * error,
        }


def _verify(
    model: PcrModel,
    variant: str,
    planted: Sequence[PlantedCase],
    planted_as: str,
    methods: Sequence[MapMethod],
    step: Callable[[int, str], None],
) -> dict[str, dict[str, Any]]:
    """Method → its entry in the bundle."""
    block = model.facts.blocks[variant]
    size = int(block["network"]["image_size"])
    images = [name for name in model.facts.variants[variant] if name in (PATHOLOGY, *ULTRASOUND)]
    measured = {method: {name: _Measured() for name in images} for method in methods}
    further: list[tuple[dict[str, torch.Tensor], dict[MapMethod, Maps]]] = []
    counted = 0
    for done, one in enumerate(planted, start=1):
        _, prepared = model.prepare(one.case, variant)
        inputs = PcrInputs(variant, prepared.inputs)
        logit = model.outputs(inputs, ()).logit
        if score_of(logit, block, model.facts.folder / variant).above:
            counted += 1
            net, tensors = model.network(inputs)
            maps = {m.method: m.values for m in model.outputs(inputs, methods).maps}
            places = one.places(prepared, size)
            for name in images:
                _measure(net, tensors, name, places[name], maps, measured, counted)
            if len(further) < TESTED_FURTHER:
                further.append((tensors, maps))
        step(done, f"{variant}: {counted} of {done} planted cases are positive to the network")
    entries: dict[str, dict[str, Any]] = {}
    for method in methods:
        entry: dict[str, Any] = {
            "status": "not assessed",
            "passed": False,
            "cases": counted,
            "planted": len(planted),
            "planted_as": planted_as,
            "date": datetime.date.today().isoformat(),
        }
        if counted >= LEAST_CASES:
            by_image = {name: found.summary() for name, found in measured[method].items()}
            # What is drawn on every image must have passed on every image.
            entry["pointing"] = min(found["pointing"] for found in by_image.values())
            entry["energy"] = min(found["energy"] for found in by_image.values())
            entry["passed"] = entry["pointing"] >= POINTING and entry["energy"] >= ENERGY
            entry["status"] = "passed" if entry["passed"] else "failed"
            entry["images"] = {
                name: {key: round(value, 3) for key, value in found.items()}
                for name, found in by_image.items()
            }
            entry["further"] = _further(net, further, method)
        entries[method] = entry
    return entries


def _measure(
    net: PcrNetwork,
    tensors: Mapping[str, torch.Tensor],
    name: str,
    place: NDArray[np.bool_],
    maps: Mapping[MapMethod, Maps],
    measured: Mapping[MapMethod, Mapping[str, _Measured]],
    seed: int,
) -> None:
    from breastpredict.models.map_tests import insertion

    chance = np.random.default_rng(seed).random(place.shape)
    by_chance = insertion(net, tensors, name, chance)
    for method, found in maps.items():
        into, values = measured[method][name], found[name]
        into.points.append(points_inside(values, place))
        into.energy.append(energy_inside(values, place))
        into.area.append(float(place.mean()))
        into.insertion.append(insertion(net, tensors, name, values))
        into.by_chance.append(by_chance)


def _further(
    net: PcrNetwork,
    cases: Sequence[tuple[Mapping[str, torch.Tensor], Mapping[MapMethod, Maps]]],
    method: MapMethod,
) -> dict[str, Any]:
    """Forgetting, mirroring, constant images: each a number and whether it is as it should be."""
    import torch

    from breastpredict.models import predict_with_maps
    from breastpredict.models.map_tests import FORGOTTEN, randomised

    found: dict[str, Any] = {}
    for forgotten in FORGOTTEN:
        alike = []
        for seed, (tensors, maps) in enumerate(cases):
            other = randomised(net, forgotten, seed)
            if other is not None:
                after = predict_with_maps(other, tensors, method).maps
                alike.append(abs(_correlation(maps[method], after)))
        if alike:
            rho = float(np.mean(alike))
            found[f"forgets_{forgotten}"] = {"rho": round(rho, 3), "passed": rho < SIMILAR}
    mirrored = []
    for tensors, maps in cases:
        flipped = {n: v if n == "clinical" else v.flip(-1) for n, v in tensors.items()}
        after = predict_with_maps(net, flipped, method).maps
        back = {name: values[..., ::-1] for name, values in after.items()}
        mirrored.append(_correlation(maps[method], back))
    rho = float(np.mean(mirrored))
    found["mirrored"] = {"rho": round(rho, 3), "passed": rho >= SIMILAR}
    plain = {n: torch.full_like(v, 0.2) for n, v in cases[0][0].items()}
    values = predict_with_maps(net, plain, method).maps.values()
    found["constant"] = {"passed": all(bool(np.isfinite(one).all()) for one in values)}
    return found


def _correlation(one: Maps, other: Maps) -> float:
    """Spearman's, mean over the images; 0 where a map is flat, which tells nothing."""
    found = []
    for name, values in one.items():
        a, b = values.ravel(), other[name].ravel()
        flat = np.ptp(a) == 0 or np.ptp(b) == 0
        found.append(0.0 if flat else float(spearmanr(a, b).statistic))
    return float(np.mean(found))
