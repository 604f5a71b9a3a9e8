"""The folder of results a case gets (design §4); it appears whole or not at all."""

from __future__ import annotations

import base64
import io
import json
import math
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__
from breastpredict.dicom import (
    NO_DICOM,
    Provenance,
    write_capture,
    write_parametric_map,
    write_report,
    write_segmentation,
)
from breastpredict.dicom.write_sc import burn_in
from breastpredict.errors import GateRefusal
from breastpredict.files import write_folder
from breastpredict.her2 import Her2Facts, Her2Model, Her2Prediction, PreparedCase
from breastpredict.her2.cases import TITLES
from breastpredict.study.overlay import Pictures, draw

_ALGORITHM = {"mask": "MANUAL", "point": "SEMIAUTOMATIC", "box": "SEMIAUTOMATIC"}
Views = list[tuple[str, str]]
"""Data URI and caption."""
_PACKAGES = ("numpy", "SimpleITK", "pydicom", "highdicom", "torch", "timm")


def templates() -> Environment:
    """The HTML templates; everything that is put in is escaped."""
    return Environment(
        loader=PackageLoader("breastpredict.study"), autoescape=True, undefined=StrictUndefined
    )


def write_case(folder: Path, prediction: Her2Prediction) -> None:
    """Write everything of a predicted case.

    Args:
        folder: OUT/<case key>; an earlier result there is replaced.
        prediction: what to write.
    """
    prepared = prediction.prepared
    provenance = Provenance(
        weights=prediction.weights,
        phase=f"phase {prepared.phase.index} ({prepared.phase_reason})",
        overrides=prediction.overrides,
        synthetic=prediction.synthetic,
        parameters={
            "Tumour outlined by": prepared.outlined_by,
            **({"Map": prediction.map_label} if prediction.map is not None else {}),
        },
    )
    pictures = draw(prepared, prediction)
    result = {**_result(prepared), **_numbers(prediction), "status": "predicted"}
    with write_folder(folder) as out:
        if prepared.phase.is_dicom:
            _write_dicom(out, prediction, provenance, pictures)
        else:
            _write_volumes(out, prediction)
        Image.fromarray(burn_in(pictures.overlay, provenance)).save(out / "overlay.png")
        write_json(out / "result.json", result)
        _write_html(out / "report.html", result, _views(pictures, prediction.map_label, provenance))


def _write_dicom(
    out: Path, prediction: Her2Prediction, provenance: Provenance, pictures: Pictures
) -> None:
    prepared = prediction.prepared
    phase, k = prepared.phase, prepared.slice.index
    segmentation = write_segmentation(
        prepared.mask,
        phase,
        out / "segmentation.dcm",
        provenance=provenance,
        algorithm=_ALGORITHM[prepared.outlined_by],  # type: ignore[arg-type]
    )
    write_report(
        out / "report.dcm",
        phase,
        provenance=provenance,
        segmentation=segmentation,
        probabilities={str(name): value for name, value in prediction.probabilities.items()},
        scores=[(s.task, s.points_to, s.score, s.threshold) for s in prediction.scores],
        predicted_class=prediction.predicted_class,
        measurements={
            "volume_mm3": float(prepared.features["tumour_volume_mm3"]),
            "area_mm2": prepared.slice.area_mm2,
            "slice_index": float(k),
        },
        slice_index=k,
    )
    if prediction.map is not None:
        write_parametric_map(
            prediction.map,
            phase,
            out / "heatmap.dcm",
            quantity=prediction.map_method,  # type: ignore[arg-type]
            provenance=provenance,
        )
    write_capture(pictures.panel, phase, out / "capture.dcm", provenance=provenance, slice_index=k)


def _write_volumes(out: Path, prediction: Her2Prediction) -> None:
    """Mask and map as NRRD, where there is no DICOM to refer to."""
    sitk.WriteImage(prediction.prepared.mask.to_image(), str(out / "segmentation.nrrd"), True)
    if prediction.map is not None:
        sitk.WriteImage(prediction.map, str(out / "heatmap.nrrd"), True)


def write_refused(
    folder: Path,
    refusal: GateRefusal,
    prepared: PreparedCase | None,
    model: Her2Model | Her2Facts,
) -> None:
    """Write what there is to say of a refused case: the gate, the reason, and no number.

    Args:
        folder: OUT/<case key>; an earlier result there is replaced.
        refusal: which gate, and why.
        prepared: the case, where it came so far; it then gets a DICOM report too.
        model: what refused it.
    """
    result: dict[str, Any] = {
        "gate": refusal.gate,
        "reason": refusal.reason,
        "status": "refused",
        "synthetic": model.synthetic,
        "synthetic_note": SYNTHETIC_WARNING if model.synthetic else "",
        "weights_sha256": model.weights,
    }
    result = {**(_result(prepared) if prepared is not None else common()), **result}
    with write_folder(folder) as out:
        views: Views = []
        if prepared is not None:
            provenance = Provenance(
                weights=model.weights,
                phase=f"phase {prepared.phase.index} ({prepared.phase_reason})",
                synthetic=model.synthetic,
            )
            views = _views(draw(prepared, None), "", provenance)
            if prepared.phase.is_dicom:
                write_report(
                    out / "report.dcm",
                    prepared.phase,
                    provenance=provenance,
                    refusal=refusal.reason,
                    slice_index=prepared.slice.index,
                )
        write_json(out / "result.json", result)
        _write_html(out / "report.html", result, views)


def common() -> dict[str, Any]:
    """What stands in every result: the note, the software and the date."""
    return {
        "note": RESEARCH_USE_ONLY,
        "software": f"BreastPredict {__version__}",
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _result(prepared: PreparedCase) -> dict[str, Any]:
    """What is known before any prediction. No identifiers: UIDs are identifiers too."""
    acquisition, phase = prepared.acquisition, prepared.phase
    return {
        **common(),
        "source": prepared.study.source,
        "no_dicom": "" if phase.is_dicom else f"No DICOM results were written. {NO_DICOM}.",
        "acquisition": prepared.study.dce.index(acquisition) + 1,
        "laterality": acquisition.laterality,
        "phases": [
            {
                "index": p.index,
                "time_s": None if math.isnan(p.time_s) else round(p.time_s, 3),
                "role": p.role,
                "slices": p.geometry.size[2],
            }
            for p in acquisition.phases
        ],
        "time_origin": phase.time_origin,
        "phase": phase.index,
        "phase_reason": prepared.phase_reason,
        "slice_index": prepared.slice.index,
        "area_mm2": prepared.slice.area_mm2,
        "volume_mm3": prepared.features["tumour_volume_mm3"],
        "roi": {
            "center_ij": list(prepared.roi.center_ij),
            "side_mm": prepared.roi.side_mm,
        },
        "outlined_by": prepared.outlined_by,
        "parameters": prepared.parameters,
        "features": {
            name: value if isinstance(value, str) or math.isfinite(value) else None
            for name, value in prepared.features.items()
        },
        "warnings": [_without_paths(warning, prepared) for warning in prepared.warnings],
    }


def _without_paths(text: str, prepared: PreparedCase) -> str:
    """A warning that names files by phase and slice: paths often hold the patient's name."""
    for phase in prepared.acquisition.phases:
        for k, instance in enumerate(phase.instances):
            text = text.replace(f"[{instance.path}]", f"(slice {k} of phase {phase.index})")
    return text


def _numbers(prediction: Her2Prediction) -> dict[str, Any]:
    return {
        "probabilities": prediction.probabilities,
        "predicted_class": prediction.predicted_class,
        "scores": [
            {
                "task": s.task,
                "title": TITLES[s.task],
                "points_to": s.points_to,
                "score": s.score,
                "threshold": s.threshold,
                "above": s.above,
                "calibrated": s.calibrated,
                **({"calibration": s.calibration} if s.calibration else {}),
            }
            for s in prediction.scores
        ],
        "map": None
        if prediction.map is None
        else {
            "method": prediction.map_method,
            "task": prediction.map_task,
            "label": prediction.map_label,
            "class_agnostic": prediction.class_agnostic,
        },
        "overrides": list(prediction.overrides),
        "synthetic": prediction.synthetic,
        "synthetic_note": SYNTHETIC_WARNING if prediction.synthetic else "",
        "weights_sha256": prediction.weights,
        "device": prediction.device,
        "versions": {name: version(name) for name in _PACKAGES},
    }


def write_json(path: Path, value: Any) -> None:
    """Write plain values; one that is not finite is an error."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _views(pictures: Pictures, map_label: str, provenance: Provenance) -> Views:
    """Pictures and what they show. Copied out of the page, each still says its warnings."""
    views = [
        (pictures.whole, "Slice with the tumour's outline and the region"),
        (pictures.zoom, "Region"),
    ]
    if map_label:
        views.append((pictures.overlay, map_label))
    return [(data_uri(burn_in(image, provenance)), text) for image, text in views]


def _write_html(path: Path, result: dict[str, Any], views: Views) -> None:
    page = templates().get_template("case.html.j2").render(result=result, views=views, tasks=TITLES)
    path.write_text(page, encoding="utf-8")


def data_uri(rgb: NDArray[np.uint8], side: int | None = None) -> str:
    """A picture as a data URI, shrunk to ``side`` pixels where given."""
    image = Image.fromarray(rgb)
    if side is not None:
        image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
