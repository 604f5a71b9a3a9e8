"""One case from the study to the result: what the panel, a script and the tests drive."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import slicer

from BreastPredictLib.case import Done, Failed, PredictedCase
from BreastPredictLib.parameters import is_set
from BreastPredictLib.tasks import Tasks

from . import overlay_nodes, region_nodes, result_nodes, study_nodes, tumour_nodes
from .parameters import LARGEST, HER2PredictParameterNode

if TYPE_CHECKING:
    from breastpredict.her2.roi_policy import RoiKind, RoiPolicy


class Case(PredictedCase):
    """A case on a parameter node.

    Args:
        parameters: what is remembered of it in the scene.
        tasks: the child process.

    Attributes:
        region: what the network will see, or None; kept up by `update_region`.
        region_problem: why there is none, in words.
        tumour_warnings: what the backend doubts about the last outline.
    """

    def __init__(self, parameters: HER2PredictParameterNode, tasks: Tasks) -> None:
        super().__init__(parameters, tasks)
        self.region: region_nodes.Region | None = None
        self.region_problem = ""
        self.tumour_warnings: list[str] = []
        self._mask_hash = ""
        self._kind_of_run: tuple[str, RoiKind] = ("", "square")

    # What is known

    @property
    def opened(self) -> dict[str, Any] | None:
        """The backend's answer about the study; None while the chosen one is not read."""
        p = self.parameters
        opened: dict[str, Any] | None = json.loads(p.opened) if p.opened else None
        # Another study was chosen since: its images must not come under this patient's name.
        return opened if opened and opened["source"] == [str(p.study), p.studyUID] else None

    @property
    def acquisition(self) -> dict[str, Any] | None:
        """The chosen acquisition, as ``inspect --json`` describes it."""
        opened, number = self.opened, self.parameters.acquisition
        found = opened["study"]["dce"] if opened else []
        return found[number - 1] if 1 <= number <= len(found) else None

    @property
    def laterality(self) -> str | None:
        """Side of the chosen acquisition: R, L, B or None."""
        acquisition = self.acquisition
        return acquisition["laterality"] if acquisition else None

    @property
    def volumes_are_loaded(self) -> bool:
        """Whether the early volume in the scene is the chosen phase."""
        opened, p = self.opened, self.parameters
        return opened is not None and study_nodes.shows(
            p.early, p.acquisition, p.phase, opened["study"]["study_uid"]
        )

    def inputs_key(self) -> str:
        """What a prediction would depend on now; two predictions with one key are the same."""
        p = self.parameters
        study_uid = self.opened["study"]["study_uid"] if self.opened else ""
        values = (
            str(p.study), study_uid, p.acquisition, p.phase, p.margin, p.sliceIndex, str(p.run),
            p.explain, self._mask_hash,
        )  # fmt: skip
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()

    # Study

    def open_study(self, done: Done, failed: Failed) -> None:
        """Read the headers of the chosen study and choose acquisition and phase by rule."""

        source = [str(self.parameters.study), self.parameters.studyUID]

        def answered(result: dict[str, Any]) -> None:
            self.forget_study()
            self.parameters.opened = json.dumps({**result, "source": source})
            found = result["study"]["dce"]
            with_contrast = [a for a in found if a["chosen"] is not None]
            self.choose_acquisition((with_contrast or found)[0]["number"] if found else 0)
            done()

        self.tasks.start("reading the study", "open", self._study(), answered, failed)

    def choose_acquisition(self, number: int) -> None:
        """Take another acquisition, and of it the phase that the rule chooses."""
        self.parameters.acquisition = number
        acquisition = self.acquisition
        self.parameters.phase = (acquisition["chosen"] or 0) if acquisition else 0

    def forget_study(self) -> None:
        """No study is open any more; what is in the scene stays there."""
        p = self.parameters
        p.opened, p.acquisition, p.phase = "", 0, 0
        p.early = p.pre = p.subtraction = p.segmentation = p.point = p.box = None
        p.segmentID, p.outlinedBy, p.sliceIndex = "", "mask", LARGEST
        self.tumour_warnings = []
        self.forget_result()
        self.update_region()

    def load_volumes(self, done: Done, failed: Failed) -> None:
        """Chosen phase, the phase before contrast and their difference into the scene."""
        p = self.parameters
        number, phase, opened = p.acquisition, p.phase, self.opened

        def answered(result: dict[str, Any]) -> None:
            assert opened is not None
            nodes = study_nodes.load_volumes(result, opened, number)
            for old in (p.early, p.pre, p.subtraction):
                if old is not None:
                    slicer.mrmlScene.RemoveNode(old)
            p.early, p.pre, p.subtraction = nodes["chosen"], nodes["pre"], nodes["subtraction"]
            if p.segmentation is not None:
                p.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(p.early)
            self.update_region()
            done()

        arguments = {**self._study(), "acquisition": number, "phase": phase}
        arguments["folder"] = str(self.tasks.folder / "volumes")
        self.tasks.start("loading the volumes", "load", arguments, answered, failed)

    # Tumour

    @property
    def outline(self) -> tuple[Any, str, Any]:
        """Segmentation node, segment and the volume they are drawn on."""
        p = self.parameters
        return p.segmentation, p.segmentID, p.early

    def delineate_from_point(self, done: Done, failed: Failed) -> None:
        """The tumour at the first point of the fiducial list.

        Raises:
            ValueError: there is no point.
        """
        self._delineate("point", tumour_nodes.seed_of(self.parameters.point), done, failed)

    def delineate_from_box(self, done: Done, failed: Failed) -> None:
        """The tumour in the box.

        Raises:
            ValueError: there is no box.
        """
        self._delineate("box", tumour_nodes.corners_of(self.parameters.box), done, failed)

    def import_mask(
        self, file: str, done: Done, failed: Failed, segment: str = "", order: str = ""
    ) -> None:
        """A mask from a file in any of the backend's formats."""
        arguments = {
            **self._study(),
            "acquisition": self.parameters.acquisition,
            "mask": file,
            "file": str(self.tasks.folder / "imported.nrrd"),
            "segment": segment or None,
            "mask_order": order or None,
        }
        self._outline("importing the mask", "import_mask", arguments, "mask", done, failed)

    def new_segmentation(self) -> None:
        """An empty tumour segment to draw in, where there is none."""
        self._make_segmentation(self.opened or {}, self.laterality)

    def _make_segmentation(self, opened: dict[str, Any], laterality: str | None) -> None:
        p = self.parameters
        p.segmentation, p.segmentID = tumour_nodes.tumour_segmentation(
            p.segmentation, p.early, opened, laterality
        )

    # Slice and region

    def update_region(self) -> None:
        """Find slice and square again, after tumour, margin or slice changed."""
        from breastpredict.errors import BreastPredictError

        p = self.parameters
        self.region, self.region_problem = None, ""
        try:
            mask = tumour_nodes.mask_of(p.segmentation, p.segmentID, p.early)
            if mask is None:
                self._mask_hash = ""
                self.region_problem = "There is no tumour yet."
            else:
                place = json.dumps([mask.start, mask.inside.shape])
                digest = hashlib.sha256(place.encode() + mask.inside.tobytes())
                self._mask_hash = digest.hexdigest()
                self.region = region_nodes.region_of(
                    mask, self._policy(), p.sliceIndex, self.laterality
                )
        except (BreastPredictError, ValueError) as error:
            self.region_problem = str(error)
        if self.region is not None:
            p.region = region_nodes.show_region(p.region, self.region)
        elif p.region is not None:
            slicer.mrmlScene.RemoveNode(p.region)

    def _policy(self) -> RoiPolicy:
        """What the chosen run's networks see of a slice, with the reader's margin.

        Of a run that is newly chosen the margin is taken over, so that nothing is overridden until
        the reader does so.
        """
        from breastpredict.errors import BreastPredictError
        from breastpredict.her2 import describe_run
        from breastpredict.her2.roi_policy import RoiPolicy

        p, run = self.parameters, str(self.parameters.run)
        if self._kind_of_run[0] != run:
            try:
                trained_on = describe_run(run)["input"]
            except BreastPredictError:  # no run is chosen yet, or none that can be used
                return RoiPolicy(margin=p.margin)
            self._kind_of_run = (run, trained_on["roi"])
            if p.marginOf != run:
                p.margin, p.marginOf = trained_on["margin"], run
        return RoiPolicy(self._kind_of_run[1], p.margin)

    # Prediction

    def predict(self, done: Done, failed: Failed) -> None:
        """Predict and put map, table and chart into the scene.

        Raises:
            ValueError: there is no tumour.
        """
        p = self.parameters
        self.update_region()  # a transform may have moved the tumour, which nobody was told of
        mask = tumour_nodes.mask_of(p.segmentation, p.segmentID, p.early)
        if mask is None:
            raise ValueError("There is no tumour yet.")
        file = tumour_nodes.write_mask(mask, self.tasks.folder / "tumour.nrrd")
        arguments = {
            **self._study(),
            "run": str(p.run),
            "out": str(self.tasks.folder / "results"),
            "segmentation": str(file),
            "acquisition": p.acquisition,
            "phase": p.phase,
            "folder": str(self.tasks.folder / "map"),
            "outlined_by": p.outlinedBy,
            "slice_index": None if p.sliceIndex == LARGEST else p.sliceIndex,
            "margin": p.margin,
            "device": p.device,
            "explain": None if p.explain == "none" else p.explain,
        }

        self.ask_for_result("predict", arguments, done, failed)

    @property
    def maps(self) -> list[Any]:
        """The map of the result, if it is in the scene."""
        return [] if self.parameters.map is None else [self.parameters.map]

    def forget_maps(self) -> None:
        """The parameters refer to no map any more."""
        self.parameters.map = None

    def show_result(
        self, result: dict[str, Any], found: dict[str, Any], opened: dict[str, Any]
    ) -> None:
        """Put map, table and chart into the scene."""
        p = self.parameters
        if found["map"] is not None:
            p.map = overlay_nodes.map_volume(found["map"], p.early, result, opened)
            self.update_maps()
        p.table = result_nodes.result_table(result, opened)
        p.chart = result_nodes.result_chart(p.table)

    # Training

    def train(self, done: Done, failed: Failed) -> None:
        """Train both tasks on the cohort; its run is then chosen for predicting."""
        p = self.parameters
        arguments = {
            "cohort": str(p.cohort),
            "out": str(p.trainingRun),
            "resume": p.resume,
            "preset": p.network,
            "weights": p.weights or None,
            "epochs": p.epochs or None,
            "device": p.device,
        }
        self.train_on("train", arguments, done, failed)

    # Behind the scenes

    def _study(self) -> dict[str, Any]:
        p = self.parameters
        if not is_set(p.study):
            raise ValueError("Choose a study first.")
        return {"study": str(p.study), "study_uid": p.studyUID or None}

    def _delineate(self, how: str, where: Any, done: Done, failed: Failed) -> None:
        arguments = {
            **self._study(),
            "acquisition": self.parameters.acquisition,
            "phase": self.parameters.phase,
            "file": str(self.tasks.folder / "delineated.nrrd"),
            how: where,
        }
        self._outline("delineating", "delineate", arguments, how, done, failed)

    def _outline(
        self,
        name: str,
        command: str,
        arguments: dict[str, Any],
        how: str,
        done: Done,
        failed: Failed,
    ) -> None:
        opened, laterality = self.opened or {}, self.laterality

        def answered(result: dict[str, Any]) -> None:
            p = self.parameters
            self._make_segmentation(opened, laterality)
            tumour_nodes.set_mask(p.segmentation, p.segmentID, p.early, result["file"])
            p.outlinedBy, p.sliceIndex = how, LARGEST
            self.tumour_warnings = result["warnings"]
            self.update_region()
            done()

        self.tasks.start(name, command, arguments, answered, failed)
