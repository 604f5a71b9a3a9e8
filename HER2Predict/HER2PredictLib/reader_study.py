"""A reader at work in the scene: case after case, nothing of one left for the next.

What is shown comes from the blinded files of the plan. No node, attribute or parameter holds a case
key: it would tell a reader of the second session which case of the first it is. The session itself
is the backend's (`breastpredict.reader`), in this process, for its clock must stop at once when the
module is left; pixels are read and delineated in the child process.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from BreastPredictLib.case import Done, Failed
from BreastPredictLib.geometry import flipped, geometry_of, read_volume

from . import tumour_nodes

if TYPE_CHECKING:
    from breastpredict.imaging import BoxedMask
    from breastpredict.reader import CaseToRead, Plan, ReaderSession, Unfinished

    from .case import Case

_NAMES = {"chosen": "After contrast", "pre": "Before contrast", "subtraction": "Subtraction"}
_LOOKED_AT = (
    "vtkMRMLVolumeNode vtkMRMLSegmentationNode vtkMRMLMarkupsNode vtkMRMLTableNode "
    "vtkMRMLSequenceNode"
).split()


class ReaderStudy:
    """Plan, session and the case that is read.

    Args:
        case: of the module; its point and box are used, and its child process.

    Attributes:
        plan: that is open, or None.
        session: of the reader who is signed in, or None.
        given: the case that is read, or on its way into the scene.
        volume: its early phase; None while it is not in the scene.
        segmentation: the reader's contour; None before it is begun.
        automatic: the contour before any editing.
        finished: what was read to the end last, in words; empty otherwise.
        tumour_warnings: what the backend doubts about the automatic contour.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self.plan: Plan | None = None
        self.session: ReaderSession | None = None
        self.finished = ""
        self._in_sight = True
        self._forget_case()

    def _forget_case(self) -> None:
        self.given: CaseToRead | None = None
        self.volume: Any = None
        self.segmentation: Any = None
        self.automatic: BoxedMask | None = None
        self._seed: Any = None
        self._box: Any = None
        self.tumour_warnings: list[str] = []

    # Plan and session

    @property
    def under_way(self) -> bool:
        """Whether a reader is signed in."""
        return self.session is not None

    @property
    def mode(self) -> str:
        """How every contour of the study starts."""
        return self.plan.mode if self.plan is not None else "manual"

    def open_plan(self, folder: str) -> None:
        """Read a plan, or a package for one reader and session.

        Raises:
            InputError: there is none, or it is damaged.
        """
        from breastpredict.reader import open_plan

        self.plan, self.finished = None, ""
        # The child process may have been started in another folder.
        self.plan = open_plan(Path(folder).absolute())

    def sign_in(
        self, reader: str, session: int | None, override: str, done: Done, failed: Failed
    ) -> None:
        """Start or go on with a session: the scene is closed, and the first case comes.

        Args:
            reader: of the plan.
            session: which; None for the first that is not finished.
            override: why the wash-out is cut short; recorded.
            done, failed: called when the case is in the scene, or cannot be read.

        Raises:
            WashoutError: the wash-out is not over.
            InputError: the session is finished, or one before it is not.
        """
        from breastpredict.reader import sign_in

        assert self.plan is not None
        self.finished = ""
        self.session = sign_in(self.plan, reader, session, washout_override=override)
        try:
            self._next_case(done, failed)
        except Exception:
            self.session = None
            raise

    def stop(self) -> None:
        """Keep what there is of the case, and close the scene."""
        self.autosave()
        self._sign_out()
        slicer.mrmlScene.Clear(0)

    def _sign_out(self) -> None:
        self.session = None
        self._forget_case()

    # Cases

    def _next_case(self, done: Done, failed: Failed) -> None:
        session = self.session
        assert session is not None
        self._forget_case()
        # What was loaded, drawn or measured in any module leaves the scene, and undo with it.
        slicer.mrmlScene.Clear(0)
        self._remove_files()
        given = session.next_case()
        session.pause()
        if given is None:
            self.finished = f"Reader {session.reader} has read all cases of session "
            self.finished += f"{session.session}."
            self._sign_out()
            done()
            return
        early = given.case.phase.index
        self.given = given

        def answered(result: dict[str, Any]) -> None:
            try:
                self._show(given, result)
            except Exception:
                self._sign_out()
                raise
            if self._in_sight:
                session.go_on()
            done()

        def cannot(error: Exception) -> None:
            self._sign_out()
            failed(error)

        arguments = {
            "study": str(given.case.folder),
            "acquisition": 1,
            "phase": early,
            "folder": str(self._folder),
        }
        self._case.tasks.start("loading the case", "load", arguments, answered, cannot)

    def _show(self, given: CaseToRead, loaded: dict[str, Any]) -> None:
        for kind, name in _NAMES.items():
            if loaded[kind] is not None:
                node = read_volume(name, loaded[kind]["file"])
                if kind == "chosen":
                    self.volume = node
        self._remove_files()
        p = self._case.parameters
        if self.mode == "point":
            p.point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Point")
        if self.mode == "manual":
            self.new_segmentation()
        if given.unfinished is not None:
            self._go_on_with(given.unfinished)

    def _go_on_with(self, left: Unfinished) -> None:
        from breastpredict.imaging import BoxedMask

        p = self._case.parameters
        self._seed, self._box = left.seed_point_lps, left.box_lps
        if left.automatic is not None:
            self.automatic = BoxedMask.of(left.automatic)
        if left.mask is not None or left.automatic is not None:
            self._set_contour(None if left.mask is None else BoxedMask.of(left.mask))
        if self._seed is not None and p.point is not None:
            p.point.AddControlPointWorld(flipped(self._seed))
        if self._box is not None:
            p.box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
            corners = np.array([flipped(corner) for corner in self._box])
            p.box.SetCenter(corners.mean(axis=0).tolist())
            p.box.SetSize(np.abs(corners[1] - corners[0]).tolist())

    # Contour; the same names as of a case, for `tumour_section`

    @property
    def outline(self) -> tuple[Any, str, Any]:
        """Segmentation node, segment and the volume they are drawn on."""
        return self.segmentation, tumour_nodes.SEGMENT_ID, self.volume

    def new_segmentation(self) -> None:
        """An empty segment to draw in, where there is none."""
        self.segmentation = self._there()
        self.segmentation, _ = tumour_nodes.tumour_segmentation(
            self.segmentation, self.volume, None, None
        )

    def contour(self) -> BoxedMask | None:
        """What the reader has drawn so far; None where there is nothing."""
        if self._there() is None:
            return None
        return tumour_nodes.mask_of(self.segmentation, tumour_nodes.SEGMENT_ID, self.volume)

    @property
    def is_outlined(self) -> bool:
        """Whether there is a contour; true, too, where that cannot be said, as saving will say."""
        try:
            return self.contour() is not None
        except ValueError:  # somebody has put the volume under a transform
            return True

    @property
    def is_edited(self) -> bool:
        """Whether the reader has changed the automatic contour."""
        from breastpredict.reader.session import edited_fraction

        if self.automatic is None:
            return False
        try:
            return edited_fraction(self.automatic, self.contour()) > 0
        except ValueError:
            return True

    def delineate_from_point(self, done: Done, failed: Failed) -> None:
        """The lesion at the reader's point.

        Raises:
            ValueError: there is no point.
        """
        seed = tumour_nodes.seed_of(self._case.parameters.point)
        self._delineate({"point": seed}, done, failed)

    def delineate_from_box(self, done: Done, failed: Failed) -> None:
        """The lesion in the reader's box.

        Raises:
            ValueError: there is no box.
        """
        box = tumour_nodes.corners_of(self._case.parameters.box)
        self._delineate({"box": box}, done, failed)

    def _delineate(self, where: dict[str, Any], done: Done, failed: Failed) -> None:
        from breastpredict.errors import GateRefusal
        from breastpredict.imaging import BoxedMask

        given = self.given
        assert given is not None

        def started_from(mask: BoxedMask, warnings: Sequence[str]) -> None:
            self.automatic, self.tumour_warnings = mask, list(warnings)
            self._seed, self._box = where.get("point"), where.get("box")
            self._set_contour(mask)
            self.autosave()
            done()

        def answered(result: dict[str, Any]) -> None:
            import SimpleITK as sitk

            mask = BoxedMask.of(sitk.ReadImage(result["file"]))
            self._remove_files()
            started_from(mask, result["warnings"])

        def refused(error: Exception) -> None:
            if not isinstance(error, GateRefusal):
                failed(error)
                return
            # An empty start is the study's start too: all that is drawn then counts as edited.
            geometry = geometry_of(self.volume)
            nothing = BoxedMask.of_array(np.zeros(geometry.size[::-1], np.uint8), geometry)
            note = "Try another place, or draw by hand: all of that counts as edited."
            started_from(nothing, [error.reason, note])

        arguments = {
            "study": str(given.case.folder),
            "acquisition": 1,
            "phase": given.case.phase.index,
            "file": str(self._folder / "delineated.nrrd"),
            **where,
        }
        self._case.tasks.start("delineating", "delineate", arguments, answered, refused)

    def _set_contour(self, mask: BoxedMask | None) -> None:
        self.new_segmentation()
        if mask is None or mask.empty:
            array = np.zeros(geometry_of(self.volume).size[::-1], np.uint8)
        else:
            import SimpleITK as sitk

            array = sitk.GetArrayFromImage(mask.to_image()).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            array, self.segmentation, tumour_nodes.SEGMENT_ID, self.volume
        )

    def _there(self) -> Any:
        """The segmentation node, where the user has not removed it."""
        node = self.segmentation
        return node if node is not None and node.GetScene() is not None else None

    # Keeping

    def autosave(self) -> None:
        """Keep what there is of the case, for a crash or for another day.

        Raises:
            InputError, ValueError, OSError: it cannot be kept.
        """
        if self.session is not None and self.volume is not None:
            self.session.autosave(self.contour(), **self._start())

    def save_reading(self, comment: str, done: Done, failed: Failed) -> None:
        """Keep the reading as DICOM SEG, and bring the next case.

        Raises:
            InputError, ValueError, OSError: it cannot be kept; the case stays.
        """
        assert self.session is not None
        self.session.save_reading(self.contour(), comment=comment, **self._start())
        self._next_case(done, failed)

    def _start(self) -> dict[str, Any]:
        return {
            "automatic": self.automatic,
            "seed_point_lps": _tupled(self._seed),
            "box_lps": None if self._box is None else tuple(map(_tupled, self._box)),
        }

    def without_keys(self, text: str) -> str:
        """A message without the case keys of the paths in it."""
        for key in self.plan.cases if self.plan is not None else ():
            text = text.replace(key, "…")
        return text

    # Events

    def leave(self) -> None:
        """The module is left: the clock stops."""
        self._in_sight = False
        if self.session is not None and self.volume is not None:
            self.session.pause()
            self.autosave()

    def come_back(self) -> None:
        """The module is shown: the clock goes on."""
        self._in_sight = True
        if self.session is not None and self.volume is not None:
            self.session.go_on()

    def scene_closes(self) -> None:
        """Somebody closes the scene: the reader has to sign in again; what was drawn is kept."""
        if self.volume is not None:
            try:
                self.autosave()
            finally:
                self._sign_out()

    @property
    def _folder(self) -> Any:
        return self._case.tasks.folder / "reading"

    def _remove_files(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def scene_holds_something() -> bool:
    """Whether closing the scene would take away what a user has loaded or made."""
    return any(slicer.mrmlScene.GetNumberOfNodesByClass(name) for name in _LOOKED_AT)


def _tupled(point: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if point is None else tuple(float(x) for x in point)
