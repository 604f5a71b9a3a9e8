"""What the worker can be asked about pCR. The model last used stays in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from breastpredict.dicom.ultrasound_file import text_of
from breastpredict.errors import InputError
from breastpredict.worker.kept import Kept, patient_of, run_files, write_image
from breastpredict.worker.server import Handler, Progress

if TYPE_CHECKING:
    from breastpredict.dicom import UltrasoundImage
    from breastpredict.pathology import Slide
    from breastpredict.pcr import PcrModel

OVERVIEW = 1024
"""Pixels of the longer side of a slide's overview."""


class PcrCommands:
    """The handlers of the pCR system.

    A patient is described by the columns of a cohort table, as `breastpredict.pcr.case_of` takes
    them. Images go by file: NRRD, not compressed, in a folder that the asker owns and removes. An
    ultrasound image lies at LPS (column · width, row · height, 0) of its file's frame, a slide at
    (column · mpp, row · mpp, 0) in mm; without a scale a pixel counts as 1 mm.
    """

    def __init__(self) -> None:
        self._model: Kept[PcrModel] = Kept()

    @property
    def handlers(self) -> dict[str, Handler]:
        """Name → function."""
        names = "open predict train table sample".split()
        return {f"pcr_{name}": getattr(self, name) for name in names}

    def open(
        self,
        *,
        progress: Progress,
        folder: str,
        us0: Mapping[str, Any] | None = None,
        us1: Mapping[str, Any] | None = None,
        pathology: str | None = None,
        mpp: float | None = None,
        laterality: str | None = None,
    ) -> dict[str, Any]:
        """Read a patient's images, check that both times belong together, and write them.

        Args:
            progress: told.
            folder: for the images.
            us0, us1: "path", and where it is chosen "frame", "region" and "date".
            pathology: slide or picture; its overview is read, not the slide.
            mpp: of the slide, where its file tells none.
            laterality: as stated by hand.
        """
        from breastpredict.pcr import check_pair

        told = {"us0": us0, "us1": us1}
        images: dict[str, UltrasoundImage] = {}
        for number, (name, source) in enumerate(told.items()):
            progress("read", number, 3, "reading ultrasound")
            if source is not None:
                images[name] = _read(source)
        pair, problem = None, ""
        if len(images) == 2 and us0 is not None and us1 is not None:
            try:
                checked = check_pair(
                    images["us0"],
                    images["us1"],
                    us0_date=us0.get("date"),
                    us1_date=us1.get("date"),
                    laterality=laterality,
                )
                pair = {"weeks": checked.interval_weeks, "warnings": list(checked.warnings)}
            except InputError as error:  # both are shown all the same
                problem = str(error)
        progress("read", 2, 3, "reading the overview of the slide")
        result = {
            **{
                name: _shown(images[name], folder, name) if name in images else None
                for name in told
            },
            "pathology": None if pathology is None else _overview(pathology, mpp, folder),
            "pair": pair,
            "pair_problem": problem,
        }
        progress("read", 3, 3, "")
        return result

    def predict(
        self,
        *,
        progress: Progress,
        case: Mapping[str, str],
        run: str,
        out: str,
        device: str = "auto",
        explain: str = "both",
        variant: str | None = None,
        override_gates: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Predict and write a patient into ``out``; the maps lie in the answer's folder."""
        from breastpredict.pcr import EXPLANATIONS, case_of
        from breastpredict.pcr.gates import GATES
        from breastpredict.study.pcr_batch import predict_pcr_case

        GATES.check_overrides(override_gates)
        if explain not in EXPLANATIONS:
            raise InputError(f"There is no explanation {explain!r}")
        described = case_of(case)
        progress("model", 0, 1, "loading the model")
        model = self._loaded(run, device)
        progress("model", 1, 1, "")
        folder, _ = predict_pcr_case(
            described,
            model,
            out,
            variant=variant,
            explain=EXPLANATIONS[explain],
            override_gates=override_gates,
            progress=lambda done, total, line: progress("case", done, total, line),
        )
        return {"folder": str(folder)}

    def train(
        self,
        *,
        progress: Progress,
        cohort: str,
        out: str,
        resume: bool = False,
        margin: float | None = None,
        scale: str | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """Train; ``settings`` as `breastpredict.pcr.train_config.PcrTrainConfig` takes them."""
        from breastpredict.pcr import PcrPolicy
        from breastpredict.pcr.train import train_pcr
        from breastpredict.pcr.train_config import PcrTrainConfig
        from breastpredict.study import read_pcr_cohort

        given = {"margin": margin, "scale": scale}
        regions = {name: value for name, value in given.items() if value is not None}
        if "variants" in settings:
            settings["variants"] = tuple(settings["variants"])
        try:
            config = PcrTrainConfig(policy=PcrPolicy(**regions), **settings)  # type: ignore[arg-type]
        except TypeError as error:
            raise InputError(f"Wrong settings of the training: {error}") from error
        run = train_pcr(read_pcr_cohort(Path(cohort)), Path(out), config, progress, resume=resume)
        return {"run": str(out), "failures": len(run.failures)}

    def table(self, *, progress: Progress, table: str) -> dict[str, Any]:
        """The patients of a cohort table, each as words, in its order."""
        from breastpredict.pcr import words_of
        from breastpredict.study import read_pcr_cohort

        return {"patients": [words_of(case) for case in read_pcr_cohort(Path(table))]}

    def sample(
        self, *, progress: Progress, folder: str, cases: int = 1, run: bool = False
    ) -> dict[str, Any]:
        """Make phantom patients, and on request a run that has learnt nothing."""
        from breastpredict.phantom import make_pcr_phantom, write_random_pcr_run

        table = make_pcr_phantom(folder, {"PHANTOM-A": cases}, workers=1)
        made = write_random_pcr_run(table.parent / "run") if run else None
        return {
            "table": str(table),
            "patients": self.table(progress=progress, table=str(table))["patients"],
            "run": str(made) if made else None,
        }

    def _loaded(self, run: str, device: str) -> PcrModel:
        """The model; loaded again where a file of the run is another than before."""
        from breastpredict.pcr import PcrModel

        return self._model.get(lambda: PcrModel.load(run, device), run_files(run), run, device)


def _read(source: Mapping[str, Any]) -> UltrasoundImage:
    from breastpredict.dicom import read_ultrasound

    return read_ultrasound(source["path"], frame=source.get("frame"), region=source.get("region"))


def _shown(image: UltrasoundImage, folder: str, name: str) -> dict[str, Any]:
    """The B-mode region as a volume, and what is known of it."""
    volume = image.geometry.to_image(image.pixels[np.newaxis])
    return {
        **image.facts,
        "file": write_image(volume, folder, name),
        "study_uid": image.study_uid,
        "instance_uid": text_of(image.header, "SOPInstanceUID"),
        "patient": patient_of(image.header),
    }


def _overview(path: str, mpp: float | None, folder: str) -> dict[str, Any]:
    """The whole slide, small; it is not loaded."""
    from breastpredict.pathology import open_slide

    with open_slide(path, mpp=mpp) as slide:
        picture = slide.thumbnail(OVERVIEW)
        image = sitk.GetImageFromArray(picture[np.newaxis], isVector=True)
        origin, spacing = _grid(slide, picture.shape[1], picture.shape[0])
        image.SetOrigin(origin)
        image.SetSpacing(spacing)
        return {
            "file": write_image(image, folder, "pathology"),
            "kind": slide.kind,
            "size": list(slide.size),
            "mpp": None if slide.mpp is None else list(slide.mpp),
            "levels": len(slide.levels),
            "study_uid": "" if slide.origin is None else slide.origin.study_uid,
            "patient_id": "" if slide.origin is None else slide.origin.patient_id,
            "warnings": list(slide.warnings),
        }


def _grid(
    slide: Slide, columns: int, rows: int
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Origin and spacing in mm of a picture of the whole slide."""
    mpp = slide.mpp or (1000.0, 1000.0)
    sides = [
        (whole / small, scale / 1000.0)
        for whole, small, scale in zip(slide.size, (columns, rows), mpp, strict=True)
    ]
    # Pixel centres are whole numbers in both; the outer corners fall together.
    x, y = ((step / 2 - 0.5) * scale for step, scale in sides)
    across, down = (step * scale for step, scale in sides)
    return (x, y, 0.0), (across, down, 1.0)
