"""The folder of results a pCR case gets (design §4); it appears whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from PIL import Image

from breastpredict import SYNTHETIC_WARNING
from breastpredict.dicom import Provenance
from breastpredict.dicom.write_pcr_sr import SourceImage, source_image, write_pcr_report
from breastpredict.dicom.write_sc import burn_in, write_capture_of
from breastpredict.dicom.write_slide_pm import write_slide_map
from breastpredict.errors import GateRefusal
from breastpredict.files import write_folder
from breastpredict.imaging import Geometry
from breastpredict.pcr import NAMES, PcrFacts, PcrPrediction, PreparedPcr
from breastpredict.pcr.inputs import TITLES
from breastpredict.study.case_output import Views, common, data_uri, templates, write_json
from breastpredict.study.pcr_pictures import View, draw_pcr, panel

_PACKAGES = ("numpy", "SimpleITK", "pydicom", "highdicom", "torch", "timm")
_FLAT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
NO_DICOM = "None of the images is DICOM, so there is nothing that DICOM results could refer to"


def write_pcr_case(folder: Path, prediction: PcrPrediction) -> None:
    """Write everything of a predicted case.

    Args:
        folder: OUT/<case key>; an earlier result there is replaced.
        prediction: what to write.
    """
    prepared = prediction.prepared
    provenance = Provenance(
        weights=prediction.weights,
        overrides=prediction.overrides,
        synthetic=prediction.synthetic,
        parameters={
            "Variant": prediction.variant,
            "Regions": prepared.policy.words,
            **{f"Map {one.method}": one.title for one in prediction.maps},
        },
    )
    sources = sources_of(prepared)
    views = draw_pcr(prepared, prediction.maps)
    result = {
        **_result(prepared, bool(sources)),
        **_numbers(prediction),
        "status": "predicted",
    }
    with write_folder(folder) as out:
        picture = panel(views, prediction.maps)
        Image.fromarray(burn_in(picture, provenance)).save(out / "overlay.png")
        if sources:
            write_pcr_report(
                out / "report.dcm",
                list(sources.values()),
                provenance=provenance,
                probability=prediction.score.score,
                threshold=prediction.score.threshold,
                baseline=prediction.baseline,
                interval_weeks=prepared.pair.interval_weeks if prepared.pair else None,
                laterality=prepared.laterality,
                inputs=_inputs(prediction),
            )
            write_capture_of(
                picture,
                next(iter(sources.values())).header,
                [source.reference for source in sources.values()],
                out / "capture.dcm",
                provenance=provenance,
                burned_in=_may_identify(prepared),
            )
        _write_maps(out, prediction, sources, provenance)
        write_json(out / "result.json", result)
        _write_html(out / "report.html", result, _figures(views, prediction, provenance))


def write_pcr_refused(
    folder: Path,
    refusal: GateRefusal,
    prepared: PreparedPcr | None,
    facts: PcrFacts,
    variant: str | None = None,
) -> None:
    """Write what there is to say of a refused case: the gate, the reason, and no number.

    Args:
        folder: OUT/<case key>; an earlier result there is replaced.
        refusal: which gate, and why.
        prepared: the case, where it came so far; it then gets a DICOM report too.
        facts: of the model that refused it.
        variant: of the model.
    """
    synthetic = variant is not None and bool(facts.blocks[variant]["synthetic"])
    weights = {} if variant is None else {variant: str(facts.blocks[variant]["weights_sha256"])}
    sources = {} if prepared is None else sources_of(prepared)
    result: dict[str, Any] = {
        **(common() if prepared is None else _result(prepared, bool(sources))),
        "gate": refusal.gate,
        "reason": refusal.reason,
        "status": "refused",
        "synthetic": synthetic,
        "synthetic_note": SYNTHETIC_WARNING if synthetic else "",
        "weights_sha256": weights,
    }
    provenance = Provenance(weights=weights, synthetic=synthetic)
    with write_folder(folder) as out:
        if sources:
            write_pcr_report(
                out / "report.dcm",
                list(sources.values()),
                provenance=provenance,
                laterality=prepared.laterality if prepared else None,
                refusal=refusal.reason,
            )
        views = [] if prepared is None else draw_pcr(prepared)
        write_json(out / "result.json", result)
        _write_html(out / "report.html", result, _figures(views, None, provenance))


def sources_of(prepared: PreparedPcr) -> dict[str, SourceImage]:
    """The DICOM images that went in, by input; the latest examination first."""
    found: dict[str, SourceImage] = {}
    for name in ("us1", "us0"):
        roi = prepared.rois.get(name)
        source = None if roi is None else source_image(roi.image.path, roi.image.frame)
        if source is not None:
            found[name] = source
    patches = prepared.pathology
    if patches is not None and patches.origin is not None:
        source = source_image(patches.origin.files[0])
        if source is not None:
            found["pathology"] = source
    return found


def _write_maps(
    out: Path,
    prediction: PcrPrediction,
    sources: Mapping[str, SourceImage],
    provenance: Provenance,
) -> None:
    """The maps as volumes where their images lie, and as Parametric Map where DICOM can say where.

    An ultrasound image has no place in the patient (PS3.3 A.6), so no Parametric Map can lie on
    it; the volumes are on the pixels of its own frame. A DICOM slide has a place on its glass.
    """
    prepared = prediction.prepared
    for one in prediction.maps:
        for name, values in one.values.items():
            path = out / "maps" / f"{name}_{one.method}.nrrd"
            path.parent.mkdir(exist_ok=True)
            if name == "pathology":
                assert prepared.pathology is not None
                stitched = prepared.pathology.stitch(values)
                sitk.WriteImage(_on_slide(stitched, prepared), str(path), True)
                if "pathology" in sources:
                    region = prepared.pathology.region
                    write_slide_map(
                        stitched,
                        sources["pathology"],
                        (region.x, region.y, region.width, region.height),
                        out / ("heatmap.dcm" if one.method == "gradcam" else "occlusion.dcm"),
                        quantity=one.method,
                        provenance=provenance,
                    )
                continue
            roi = prepared.rois[name]
            spacing = roi.image.spacing_mm or (1.0, 1.0)
            columns, rows = roi.image.source_size
            frame = Geometry((columns, rows, 1), (*spacing, 1.0), (0.0, 0.0, 0.0), _FLAT)
            image = frame.to_image(roi.place(values)[np.newaxis])
            sitk.WriteImage(image, str(path), True)


def _on_slide(values: np.ndarray[Any, Any], prepared: PreparedPcr) -> sitk.Image:
    """A map on the rectangle, in mm from the slide's first pixel (pixels where no scale is)."""
    assert prepared.pathology is not None
    region, mpp = prepared.pathology.region, prepared.pathology.mpp or (1000.0, 1000.0)
    rows, columns = values.shape
    scale = np.array(mpp) / 1000.0
    (corner,) = region.to_source(np.zeros((1, 2)), columns)
    step = np.array([region.width / columns, region.height / rows]) * scale
    origin = corner * scale
    geometry = Geometry(
        (columns, rows, 1),
        (float(step[0]), float(step[1]), 1.0),
        (float(origin[0]), float(origin[1]), 0.0),
        _FLAT,
    )
    return geometry.to_image(values[np.newaxis].astype(np.float32))


def _may_identify(prepared: PreparedPcr) -> bool:
    """Whether writing may be left on an ultrasound image: by rule, nobody has looked at it."""
    images = [roi.image for roi in prepared.rois.values()]
    return any(image.marks or not image.area_found for image in images)


def _inputs(prediction: PcrPrediction) -> list[str]:
    """What went in, a line each; no identifiers."""
    prepared, lines = prediction.prepared, []
    for name, roi in prepared.rois.items():
        lines.append(f"{TITLES[name]}: square of {roi.side_text}, {roi.reason}")
    if prepared.pathology is not None:
        region, mpp = prepared.pathology.region, prepared.pathology.mpp
        scale = "scale not known" if mpp is None else f"{mpp[0]:.3g} µm a pixel"
        lines.append(f"biopsy: {region.width} × {region.height} pixels, {scale}")
    if "clinical" in prediction.inputs:
        names = prepared.clinical_names
        values = {name: getattr(prepared.clinical, name) for name in NAMES}
        used = {name.split()[0] for name in names}
        lines += [f"{name}: {value}" for name, value in values.items() if name in used]
    return lines


def _result(prepared: PreparedPcr, dicom: bool) -> dict[str, Any]:
    """What is known before any prediction. No identifiers: UIDs are identifiers too."""
    pair = prepared.pair
    return {
        **common(),
        "no_dicom": "" if dicom else f"No DICOM results were written. {NO_DICOM}.",
        "laterality": prepared.laterality or "",
        "interval_weeks": None if pair is None else pair.interval_weeks,
        "ultrasound": {
            name: {
                "frame": roi.image.frame,
                "frames": roi.image.frame_count,
                "frame_reason": roi.image.frame_reason,
                "spacing_mm": None if roi.image.spacing_mm is None else list(roi.image.spacing_mm),
                "box": [round(value, 3) for value in roi.box],
                "side_mm": roi.side_mm,
                "side": roi.side_text,
                "reason": roi.reason,
                "lesions": roi.lesions,
                "share_outside": round(roi.share_outside, 4),
            }
            for name, roi in prepared.rois.items()
        },
        "pathology": None
        if prepared.pathology is None
        else {
            "region": [
                prepared.pathology.region.x,
                prepared.pathology.region.y,
                prepared.pathology.region.width,
                prepared.pathology.region.height,
            ],
            "mpp": None if prepared.pathology.mpp is None else list(prepared.pathology.mpp),
        },
        "clinical": {name: getattr(prepared.clinical, name) for name in NAMES},
        "features": dict(prepared.features),
        "policy": prepared.policy.words,
        "warnings": list(prepared.warnings),
    }


def _numbers(prediction: PcrPrediction) -> dict[str, Any]:
    score = prediction.score
    return {
        "probability": score.score,
        "threshold": score.threshold,
        "expected": prediction.expected,
        "calibrated": score.calibrated,
        "calibration": score.calibration,
        "baseline": prediction.baseline,
        "variant": prediction.variant,
        "inputs": list(prediction.inputs),
        "inputs_words": _inputs(prediction),
        "unused": list(prediction.unused),
        "maps": [
            {"method": one.method, "label": one.title, "verified": one.verified}
            for one in prediction.maps
        ],
        "overrides": list(prediction.overrides),
        "synthetic": prediction.synthetic,
        "synthetic_note": SYNTHETIC_WARNING if prediction.synthetic else "",
        "weights_sha256": prediction.weights,
        "device": prediction.device,
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _figures(
    views: list[View], prediction: PcrPrediction | None, provenance: Provenance
) -> list[tuple[str, Views]]:
    """Heading → pictures and what they show. Copied out, each still says its warnings."""
    shown_maps = () if prediction is None else prediction.maps
    titles = {str(one.method): one.title for one in shown_maps}
    out = []
    for view in views:
        pictures = []
        if view.whole is not None:
            pictures.append((view.whole, "B-mode region with the square"))
        pictures.append((view.region, "What the network sees"))
        pictures += [(picture, titles[method]) for method, picture in view.overlays.items()]
        shown = [(data_uri(burn_in(picture, provenance)), text) for picture, text in pictures]
        out.append((view.title, shown))
    return out


def _write_html(path: Path, result: dict[str, Any], figures: list[tuple[str, Views]]) -> None:
    page = (
        templates()
        .get_template("pcr_case.html.j2")
        .render(result=result, figures=figures, titles=TITLES)
    )
    path.write_text(page, encoding="utf-8")
