"""Reading the cases of a reader study."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from .reader_state import ReaderFacts, reader_reasons
from .reader_study import ReaderStudy, scene_holds_something

if TYPE_CHECKING:
    from .panel import Panel
    from .state import Facts

_AUTOSAVE_MS = 30_000
_STARTS = {
    "point": _("a point in the tumour, whose outline is then edited"),
    "box": _("a box around the tumour, whose outline is then edited"),
    "manual": _("drawing by hand"),
}
_HIDDEN = ("studySection", "sliceSection", "predictSection", "resultSection", "trainSection")
"""What has to do with patients and predictions."""


class ReaderSection:
    """The section "Reader study".

    Args:
        ui: the module's widgets.
        panel: whose case it is.
        study: of the reader.

    Attributes:
        study: of the reader.
    """

    def __init__(self, ui: Any, panel: Panel, study: ReaderStudy) -> None:
        self._ui, self._panel, self.study = ui, panel, study
        self._washout = False
        self._timer = qt.QTimer()
        self.save_every(_AUTOSAVE_MS)
        self._timer.connect("timeout()", self.autosave)
        ui.readerPlanEdit.connect("currentPathChanged(QString)", self._path_chosen)
        ui.readerOpenButton.connect("clicked()", self._open)
        ui.readerBox.connect("currentIndexChanged(int)", self._reader_chosen)
        ui.readerSessionBox.connect("currentIndexChanged(int)", self._reader_chosen)
        ui.readerSignInButton.connect("clicked()", self._sign_in)
        ui.readerSaveButton.connect("clicked()", self._save)
        ui.readerStopButton.connect("clicked()", self._stop)

    # Plan and session

    def _path_chosen(self, _path: str) -> None:
        self._panel.refresh()

    def _open(self) -> None:
        self._panel.problem = ""
        self._tried(lambda: self.study.open_plan(self._ui.readerPlanEdit.currentPath))
        self._ui.readerPlanEdit.addCurrentPathToHistory()
        self._offer()
        self._panel.refresh()

    def _offer(self) -> None:
        """The plan's readers and sessions; of a package, only the one that it is for."""
        ui, plan = self._ui, self.study.plan
        assigned = plan.assigned if plan is not None else None
        readers = () if plan is None else (assigned.reader,) if assigned else plan.readers
        sessions = () if plan is None else range(1, plan.sessions + 1)
        for box in (ui.readerBox, ui.readerSessionBox):
            box.blockSignals(True)
            box.clear()
        for reader in readers:
            ui.readerBox.addItem(_("Reader {name}").format(name=reader), reader)
        if assigned is None:
            ui.readerSessionBox.addItem(_("first unfinished session"), 0)
        for number in (assigned.session,) if assigned else sessions:
            ui.readerSessionBox.addItem(_("session {n}").format(n=number), number)
        for box in (ui.readerBox, ui.readerSessionBox):
            box.setCurrentIndex(0)
            box.blockSignals(False)
        self._reader_chosen()

    def _reader_chosen(self, _index: int = 0) -> None:
        """A reason is of one reader and session only."""
        self._washout, self._ui.readerWashoutEdit.text = False, ""
        self._panel.refresh()

    def _sign_in(self) -> None:
        if scene_holds_something() and not slicer.util.confirmOkCancelDisplay(
            _("The scene is closed first: what is not saved is lost. Go on?")
        ):
            return
        self._panel.act(self._start)

    def _start(self, done: Any, failed: Any) -> None:
        from breastpredict.reader import WashoutError

        ui = self._ui
        reader = ui.readerBox.itemData(ui.readerBox.currentIndex)
        session = ui.readerSessionBox.itemData(ui.readerSessionBox.currentIndex)
        try:
            self.study.sign_in(
                reader, session or None, ui.readerWashoutEdit.text, done, self._not_read(failed)
            )
        except WashoutError:
            self._washout = True
            raise
        self._washout, ui.readerWashoutEdit.text = False, ""
        self._timer.start()

    def _not_read(self, failed: Any) -> Callable[[Exception], None]:
        """Stop saving what is not there, too."""

        def told(error: Exception) -> None:
            self._timer.stop()
            failed(error)

        return told

    # Reading

    def may_outline_anew(self) -> bool:
        """Ask the reader, where an automatic contour would replace what was edited."""
        if not self.study.under_way or not self.study.is_edited:
            return True
        return bool(
            slicer.util.confirmOkCancelDisplay(
                _("What was edited is replaced by a new automatic contour. Go on?")
            )
        )

    def _save(self) -> None:
        if not self.study.is_outlined and not slicer.util.confirmOkCancelDisplay(
            _("There is no contour. Save that no lesion was seen?")
        ):
            return
        self._panel.act(self._save_and_go_on)

    def _save_and_go_on(self, done: Any, failed: Any) -> None:
        comment = self._ui.readerCommentEdit.text
        self.study.save_reading(comment, done, self._not_read(failed))
        self._ui.readerCommentEdit.text = ""
        if not self.study.under_way:
            self._timer.stop()

    def _stop(self) -> None:
        self._panel.problem = ""
        self._tried(self.study.stop)
        if not self.study.under_way:
            self._timer.stop()
            self._ui.readerCommentEdit.text = ""
        self._panel.refresh()

    def save_every(self, milliseconds: int) -> None:
        """How often an unfinished case is kept."""
        self._timer.setInterval(milliseconds)

    def autosave(self) -> None:
        """Keep what there is; a full disk is told at once, not when the work is lost."""
        if not self._tried(self.study.autosave):
            self._panel.refresh()

    def _tried(self, action: Callable[[], None]) -> bool:
        """Do something that may fail; False, and told, where it did."""
        try:
            action()
        except Exception as error:  # whatever it is, the reader must know
            self._panel.problem = str(error)
            return False
        return True

    # Events

    def enter(self) -> None:
        """The module is shown."""
        self.study.come_back()
        if self.study.under_way:
            self._timer.start()

    def exit(self) -> None:
        """Another module is shown, or Slicer ends."""
        self._timer.stop()
        self._tried(self.study.leave)

    def forget(self) -> None:
        """The scene is about to go."""
        self._tried(self.study.scene_closes)
        if not self.study.under_way:
            self._timer.stop()

    # State

    def reasons(self, facts: Facts) -> dict[str, str]:
        """Button → why it cannot be pressed; empty where it can."""
        study = self.study
        return reader_reasons(
            ReaderFacts(
                path=bool(self._ui.readerPlanEdit.currentPath),
                plan=study.plan is not None,
                reading=study.under_way,
                shown=study.volume is not None,
                mode=study.mode,
                automatic=study.automatic is not None,
                point=facts.point,
                box=facts.box,
                busy=facts.busy,
            )
        )

    def refresh(self) -> None:
        """Show plan and place; while cases are read, hide what could tell of patients."""
        ui, study = self._ui, self.study
        reading = study.under_way
        ui.problemLabel.text = study.without_keys(self._panel.problem)
        ui.readerPlanLabel.text = self._plan()
        ui.readerProgressLabel.text = self._progress()
        for name in _HIDDEN:
            getattr(ui, name).visible = not reading
        for box in (ui.readerBox, ui.readerSessionBox):
            box.enabled = study.plan is not None and not reading
        ui.readerPlanEdit.enabled = not reading
        for widget in (ui.readerWashoutLabel, ui.readerWashoutEdit):
            widget.visible = self._washout and not reading
        for widget in (ui.readerCommentLabel, ui.readerCommentEdit):
            widget.visible = reading
        # A reading is one contour.
        ui.segmentEditor.addRemoveSegmentButtonsVisible = not reading
        if reading:
            assert study.plan is not None
            ui.patientLabel.text = self._progress()
            ui.syntheticLabel.text = _("The cases are synthetic.")
            ui.syntheticLabel.visible = study.plan.synthetic

    def _plan(self) -> str:
        plan = self.study.plan
        if plan is None:
            return ""
        return _(
            "{cases} cases, {sessions} sessions, wash-out of {days:g} days. Every contour starts "
            "by: {start}."
        ).format(
            cases=len(plan.cases),
            sessions=plan.sessions,
            days=plan.washout_days,
            start=_STARTS[plan.mode],
        )

    def _progress(self) -> str:
        study = self.study
        if study.session is None:
            return study.finished
        place = study.given.place if study.given is not None else 0
        again = study.given is not None and study.given.unfinished is not None
        line = _("Reader {reader}, session {session}: case {place} of {total}").format(
            reader=study.session.reader,
            session=study.session.session,
            place=place,
            total=study.session.total,
        )
        return _("{line}, gone on with").format(line=line) if again else line
