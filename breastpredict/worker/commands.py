"""What the worker can be asked. The study and the model last used stay in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
import SimpleITK as sitk

from breastpredict import RESEARCH_USE_ONLY, __version__
from breastpredict.dicom import (
    DceAcquisition,
    Study,
    read_mask,
    read_study,
    source_files,
    study_summary,
)
from breastpredict.errors import InputError
from breastpredict.files import write_atomic
from breastpredict.her2.inputs import OutlinedBy, Point, delineate, reference_phase
from breastpredict.her2.predict import Explain
from breastpredict.imaging import BoxedMask, largest_lesion
from breastpredict.worker.kept import PATIENT, Kept, patient_of, run_files, write_image
from breastpredict.worker.pcr_commands import PcrCommands
from breastpredict.worker.server import Handler, Progress

if TYPE_CHECKING:
    from breastpredict.her2 import Her2Model

Points = Sequence[Sequence[float]]


class Commands:
    """The handlers of `breastpredict.worker.server.run`, by name in `handlers`.

    Those of the pCR system are `PcrCommands`.

    Coordinates are LPS in mm, phases and acquisitions are counted from 1, slices from 0. ``study``
    is whatever `breastpredict.dicom.read_study` takes. Images go by file: NRRD, not compressed,
    in a folder that the asker owns and removes.
    """

    def __init__(self) -> None:
        self._study: Kept[Study] = Kept()
        self._model: Kept[Her2Model] = Kept()
        self._pcr = PcrCommands()

    @property
    def handlers(self) -> dict[str, Handler]:
        """Name → function."""
        names = "hello devices open load delineate import_mask predict train sample".split()
        return {**{name: getattr(self, name) for name in names}, **self._pcr.handlers}

    def hello(self, *, progress: Progress) -> dict[str, Any]:
        """Who answers."""
        return {"version": __version__, "note": RESEARCH_USE_ONLY, "pid": os.getpid()}

    def devices(self, *, progress: Progress) -> dict[str, Any]:
        """What networks can run on: name as torch takes it → what it is. Loads torch."""
        import torch

        found = {"cpu": "Processor"}
        for number in range(torch.cuda.device_count()):
            found[f"cuda:{number}"] = torch.cuda.get_device_name(number)
        return {"devices": found}

    def open(
        self, *, progress: Progress, study: str, study_uid: str | None = None
    ) -> dict[str, Any]:
        """What the study holds: as ``inspect``, and whose it is, for the reader's eyes only."""
        progress("read", 0, 1, "reading headers")
        found = self._opened(study, study_uid)
        progress("read", 1, 1, "")
        return {
            "study": study_summary(found),
            "patient": _patient(found),
            "segmentations": [str(path) for path in found.segmentations],
        }

    def load(
        self,
        *,
        progress: Progress,
        study: str,
        acquisition: int,
        phase: int,
        folder: str,
        study_uid: str | None = None,
        compare: bool = True,
    ) -> dict[str, Any]:
        """Write a phase, the phase before contrast and the difference of both as volumes.

        The two latter are null where there is no phase before, and without ``compare``.
        """
        dce = self._acquisition(study, study_uid, acquisition)
        early = dce.phase(phase)
        before = reference_phase(dce, early) if compare else None
        progress("load", 0, 2, f"phase {early.index}")
        image = early.read()
        chosen = {**early.facts, "file": write_image(image, folder, f"phase-{early.index}")}
        if before is None:
            return {"chosen": chosen, "pre": None, "subtraction": None}
        progress("load", 1, 2, f"phase {before.index}")
        base = before.read()
        difference = sitk.Subtract(image, base)
        # One phase may have been placed a hair aside of the other.
        difference.CopyInformation(image)
        result = {
            "chosen": chosen,
            "pre": {**before.facts, "file": write_image(base, folder, f"phase-{before.index}")},
            "subtraction": {**early.facts, "file": write_image(difference, folder, "subtraction")},
        }
        progress("load", 2, 2, "")
        return result

    def delineate(
        self,
        *,
        progress: Progress,
        study: str,
        acquisition: int,
        phase: int,
        file: str,
        point: Sequence[float] | None = None,
        box: Points | None = None,
        study_uid: str | None = None,
    ) -> dict[str, Any]:
        """The tumour at a point or in a box, written as a mask on the phase's grid."""
        progress("delineate", 0, 1, "delineating")
        dce = self._acquisition(study, study_uid, acquisition)
        found = delineate(
            dce,
            dce.phase(phase),
            None if point is None else _point(point),
            None if box is None else (_point(box[0]), _point(box[1])),
        )
        return {**_mask(BoxedMask.of(found.mask), file), "warnings": list(found.warnings)}

    def import_mask(
        self,
        *,
        progress: Progress,
        study: str,
        acquisition: int,
        mask: str,
        file: str,
        segment: str | None = None,
        mask_order: str | None = None,
        study_uid: str | None = None,
    ) -> dict[str, Any]:
        """A mask in any format, written as one on the acquisition's grid."""
        dce = self._acquisition(study, study_uid, acquisition)
        found = read_mask(
            mask,
            dce.phases[0].geometry,
            segment=segment,
            study=self._opened(study, study_uid),
            array_order=mask_order,
        )
        label = {"label": found.label, "warnings": list(found.warnings)}
        return {**_mask(found.mask, file), **label}

    def predict(
        self,
        *,
        progress: Progress,
        study: str,
        run: str,
        out: str,
        segmentation: str,
        acquisition: int,
        phase: int,
        folder: str,
        outlined_by: OutlinedBy = "mask",
        slice_index: int | None = None,
        margin: float | None = None,
        device: str = "auto",
        explain: Explain | None = "attention",
        override_gates: Sequence[str] = (),
        study_uid: str | None = None,
    ) -> dict[str, Any]:
        """Predict and write a case into ``out``; the map's slice also as a volume in ``folder``."""
        from breastpredict.her2 import GATES
        from breastpredict.study import predict_case

        GATES.check_overrides(override_gates)
        opened = self._opened(study, study_uid)
        early = self._acquisition(study, study_uid, acquisition).chosen
        progress("model", 0, 1, "loading the model")
        model = self._loaded(run, device)
        progress("model", 1, 1, "")
        written, prediction = predict_case(
            opened,
            model,
            out,
            explain=explain,
            override_gates=override_gates,
            progress=lambda done, total, line: progress("case", done, total, line),
            segmentation=segmentation,
            outlined_by=outlined_by,
            acquisition=acquisition,
            # What the rule chose is not overridden by choosing the same: the reason stays.
            phase=None if phase == early else phase,
            slice_index=slice_index,
            margin=margin,
        )
        map_file = None
        if prediction.map is not None:
            map_file = write_image(prediction.map, folder, "map")
        return {"folder": str(written), "map": map_file}

    def train(
        self,
        *,
        progress: Progress,
        cohort: str,
        out: str,
        resume: bool = False,
        **settings: Any,
    ) -> dict[str, Any]:
        """Train both tasks; ``settings`` as `breastpredict.her2.Her2TrainConfig` takes them."""
        from breastpredict.her2 import Her2TrainConfig, train_her2
        from breastpredict.study import read_cohort

        try:
            config = Her2TrainConfig(**settings)
        except TypeError as error:
            raise InputError(f"Wrong settings of the training: {error}") from error
        cases = [case for case in read_cohort(Path(cohort)) if case.her2 is not None]
        run = train_her2(cases, Path(out), config, progress, resume=resume)
        return {"run": str(out), "failures": len(run.failures)}

    def sample(self, *, progress: Progress, folder: str, run: bool = False) -> dict[str, Any]:
        """Make a phantom study with its mask, and on request a run that has learnt nothing."""
        from breastpredict.phantom import make_her2_phantom, write_random_run

        table = make_her2_phantom(folder, {"SITE-B": 1}, workers=1)
        [study] = sorted((table.parent / "studies").iterdir())
        [mask] = sorted((table.parent / "masks").iterdir())
        made = write_random_run(table.parent / "run") if run else None
        return {"study": str(study), "mask": str(mask), "run": str(made) if made else None}

    def _opened(self, study: str, study_uid: str | None) -> Study:
        """The study; read again where one of its files is another than before."""
        return self._study.get(
            lambda: read_study(study, study_uid=study_uid), source_files(study), study, study_uid
        )

    def _acquisition(self, study: str, study_uid: str | None, number: int) -> DceAcquisition:
        found = self._opened(study, study_uid)
        if not 1 <= number <= len(found.dce):
            raise InputError(f"There is no acquisition {number}", path=study)
        return found.dce[number - 1]

    def _loaded(self, run: str, device: str) -> Her2Model:
        """The model; loaded again where a file of the run is another than before."""
        from breastpredict.her2 import Her2Model

        return self._model.get(lambda: Her2Model.load(run, device), run_files(run), run, device)


def _patient(study: Study) -> dict[str, str]:
    """Whose study it is; empty texts where that is not known."""
    for acquisition in study.dce:
        if acquisition.phases[0].is_dicom:
            path = acquisition.phases[0].instances[0].path
            header = pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=PATIENT, force=True
            )
            return patient_of(header)
    return patient_of(None)


def _mask(mask: BoxedMask, file: str) -> dict[str, Any]:
    """Write a mask; what it is in numbers.

    Raises:
        GateRefusal: "no-tumour", it is empty.
    """
    volume = largest_lesion(mask).volume_mm3
    with write_atomic(file) as temporary:
        sitk.WriteImage(mask.to_image(), str(temporary), True)
    return {"file": file, "volume_mm3": volume}


def _point(values: Sequence[float]) -> Point:
    x, y, z = (float(value) for value in values)
    return x, y, z
