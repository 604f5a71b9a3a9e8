"""What would fail in Slicer fails in the harness: wrong names, signals, arguments, dialogs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from harness import Harness, NotModelled, UnansweredDialog

UI = """<ui version="4.0">
<widget class="QWidget" name="top"><layout class="QVBoxLayout"><item>
<widget class="{kind}" name="inner">
<property name="{name}"{more}><{type}>{value}</{type}></property>
</widget>
</item></layout></widget>
</ui>"""


def test_a_method_that_the_real_class_lacks_is_an_error(slicer_app: Harness) -> None:
    import ctk
    import slicer

    with pytest.raises(AttributeError, match="setMinimum"):
        ctk.ctkSliderWidget().setMinimum(1)
    with pytest.raises(AttributeError, match="setNodeTypes"):
        slicer.qMRMLNodeComboBox().setNodeTypes(["vtkMRMLModelNode"])


def test_a_property_that_the_real_class_lacks_cannot_be_set_or_read(slicer_app: Harness) -> None:
    import ctk
    import qt

    for widget in (ctk.ctkSliderWidget(), qt.QLabel()):
        with pytest.raises(AttributeError):
            widget.colour = 1
        with pytest.raises(AttributeError):
            widget.colour  # noqa: B018


def test_a_property_shadows_its_getter_and_lists_come_back_as_tuples(slicer_app: Harness) -> None:
    import qt
    import slicer

    assert qt.QLabel("text").text == "text"
    timer = qt.QTimer()
    timer.singleShot = True  # of an object the property; of the class the static method
    assert timer.singleShot is True and callable(qt.QTimer.singleShot)
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLModelNode"]
    assert box.nodeTypes == ("vtkMRMLModelNode",)


def test_a_read_only_property_and_a_wrong_type_are_refused(slicer_app: Harness) -> None:
    import ctk
    import slicer

    with pytest.raises(AttributeError, match="not writable"):
        slicer.app.slicerHome = "/"
    with pytest.raises(AttributeError, match="does not take str"):
        ctk.ctkSliderWidget().value = "high"
    with pytest.raises(AttributeError, match="does not take"):
        slicer.qMRMLNodeComboBox().nodeTypes = "vtkMRMLModelNode"


def test_a_misspelt_signal_raises_where_slicer_would_never_call_the_slot(
    slicer_app: Harness,
) -> None:
    import ctk
    import qt

    with pytest.raises(AttributeError, match="no signal valueChange"):
        ctk.ctkSliderWidget().connect("valueChange(double)", print)
    with pytest.raises(AttributeError, match=r"it has valueChanged\(double\)"):
        ctk.ctkSliderWidget().connect("valueChanged(int)", print)
    with pytest.raises(AttributeError, match="no signal clicked"):
        qt.QPushButton().connect("clicked(int)", print)
    with pytest.raises(AttributeError):
        ctk.ctkSliderWidget().valueChange.connect(print)


def test_number_and_types_of_arguments_are_checked(slicer_app: Harness) -> None:
    import slicer

    box = slicer.qMRMLNodeComboBox()
    with pytest.raises(ValueError, match="got 2 argument"):
        box.setCurrentNode(None, None)
    with pytest.raises(ValueError, match="wrong argument types"):
        box.setMRMLScene(box)
    with pytest.raises(TypeError, match="keyword"):
        box.setCurrentNode(node=None)


def test_a_class_outside_the_contract_does_not_exist(slicer_app: Harness) -> None:
    import ctk
    import slicer

    for module, name in ((slicer, "qMRMLNoSuchWidget"), (ctk, "qMRMLNodeComboBox")):
        with pytest.raises(AttributeError, match=name):
            getattr(module, name)
    with pytest.raises(TypeError, match="no Python constructor"):
        slicer.qSlicerAbstractCoreModule()


def test_a_slot_without_behaviour_is_recorded_and_a_question_without_one_raises(
    slicer_app: Harness,
) -> None:
    import slicer

    slicer.app.openExtensionsManagerDialog()
    assert slicer_app.calls(slicer.app)[-1] == ("openExtensionsManagerDialog", ())
    with pytest.raises(NotModelled, match="extensionsManagerModel"):
        slicer.app.extensionsManagerModel()


def test_signals_reach_slots_that_take_fewer_arguments_and_both_kinds_of_overload(
    slicer_app: Harness,
) -> None:
    import slicer

    box, seen = slicer.qMRMLNodeComboBox(), []
    box.nodeTypes = ["vtkMRMLModelNode"]
    box.setMRMLScene(slicer.mrmlScene)
    box.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    box.connect("currentNodeChanged(bool)", seen.append)
    box.currentNodeChanged.connect(lambda: seen.append("no argument"))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    box.setCurrentNode(node)
    assert sorted(map(str, seen)) == sorted(map(str, [node, True, "no argument"]))
    seen.clear()
    assert box.disconnect("currentNodeChanged(bool)", seen.append)
    box.blockSignals(True)
    box.setCurrentNode(None)
    assert seen == []


@pytest.mark.parametrize(
    ("kind", "name", "type_", "value", "message"),
    [
        ("ctkSliderWidget", "maximun", "double", "2", "no property maximun"),
        ("QLabel", "txt", "string", "a", "no property txt"),
        ("qMRMLNoSuchWidget", "text", "string", "a", "no class qMRMLNoSuchWidget"),
        ("qSlicerApplication", "objectName", "string", "a", "cannot be made"),
        ("ctkPathLineEdit", "filters", "set", "ctkPathLineEdit::Folders", "has no value"),
    ],
)
def test_a_ui_file_with_what_slicer_lacks_is_refused(
    slicer_app: Harness, tmp_path: Path, kind: str, name: str, type_: str, value: str, message: str
) -> None:
    import slicer

    file = tmp_path / "panel.ui"
    file.write_text(UI.format(kind=kind, name=name, type=type_, value=value, more=""))
    with pytest.raises(RuntimeError, match=message):
        slicer.util.loadUI(str(file))


def test_a_ui_file_sets_properties_of_stand_ins_and_dynamic_ones(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import slicer

    file = tmp_path / "panel.ui"
    file.write_text(
        UI.format(kind="ctkSliderWidget", name="maximum", type="double", value="2", more="")
    )
    assert slicer.util.loadUI(str(file)).inner.maximum == 2.0
    more = ' stdset="0"'
    file.write_text(
        UI.format(kind="ctkSliderWidget", name="Own", type="string", value="mine", more=more)
    )
    assert slicer.util.loadUI(str(file)).inner.property("Own") == "mine"


def test_a_modal_dialog_without_an_answer_raises_instead_of_blocking(slicer_app: Harness) -> None:
    import qt
    import slicer

    with pytest.raises(UnansweredDialog, match="Really"):
        slicer.util.confirmYesNoDisplay("Really?")
    with pytest.raises(UnansweredDialog, match="getOpenFileName"):
        qt.QFileDialog.getOpenFileName(None, "Select")
    with pytest.raises(UnansweredDialog):
        qt.QDialog().exec_()


def test_an_answer_that_was_queued_is_what_the_dialog_returns(slicer_app: Harness) -> None:
    import qt
    import slicer

    slicer_app.dialogs.answer(qt.QMessageBox.No, "/data/file")
    assert slicer.util.confirmYesNoDisplay("Really?") is False
    assert qt.QFileDialog.getOpenFileName(None, "Select") == "/data/file"
    assert [a.text for a in slicer_app.dialogs.asked] == ["Really?", "Select"]


def test_what_is_handed_to_the_desktop_is_recorded_and_not_opened(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import qt

    assert qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(tmp_path)))
    assert slicer_app.dialogs.opened == [tmp_path.as_uri()]
    slicer_app.reset()
    assert slicer_app.dialogs.opened == []


def test_with_a_main_window_an_error_opens_a_message_box(slicer_app: Harness) -> None:
    import qt
    import slicer

    with slicer_app.failures.expected("It is broken"):
        slicer.util.errorDisplay("It is broken")  # without one it is only logged
    with slicer_app.main_window() as window, slicer_app.failures.expected("It is broken"):
        assert slicer.util.mainWindow() is window
        slicer_app.dialogs.answer(qt.QMessageBox.Ok)
        slicer.util.errorDisplay("It is broken")
    assert [a.text for a in slicer_app.dialogs.asked] == ["It is broken"]


def _raise(*_: object) -> None:
    raise ArithmeticError("in a slot")


def test_an_exception_in_a_slot_or_an_observer_is_a_failure(slicer_app: Harness) -> None:
    import ctk
    import qt
    import slicer

    button, slider, timer = qt.QPushButton(), ctk.ctkSliderWidget(), qt.QTimer()
    button.connect("clicked()", _raise)
    slider.connect("valueChanged(double)", _raise)
    timer.connect("timeout()", _raise)
    for trigger in (
        button.click,
        lambda: setattr(slider, "value", 3),
        lambda: (
            slicer.mrmlScene.AddObserver("ModifiedEvent", _raise) and slicer.mrmlScene.Modified()
        ),
    ):
        with slicer_app.failures.expected("in a slot"):
            trigger()
        slicer.mrmlScene.RemoveObservers("ModifiedEvent")
    with slicer_app.failures.expected("in a slot"):
        qt.QTimer.singleShot(0, _raise)
        slicer_app.process_events()
    with slicer_app.failures.expected("in a slot"):
        thread = threading.Thread(target=_raise)
        thread.start()
        thread.join()


def test_an_error_record_is_a_failure_and_an_expected_one_must_come(slicer_app: Harness) -> None:
    logging.error("something went wrong")
    with pytest.raises(AssertionError, match="something went wrong"):
        slicer_app.failures.check()
    with (
        pytest.raises(AssertionError, match="expected a failure"),
        slicer_app.failures.expected("never comes"),
    ):
        pass


def test_an_error_that_vtk_prints_is_a_failure(slicer_app: Harness) -> None:
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLNoSuchNode")
    with pytest.raises(AssertionError, match="failed to create node by class vtkMRMLNoSuchNode"):
        slicer_app.failures.check()


def test_installing_packages_only_records_and_may_fail(slicer_app: Harness) -> None:
    import qt
    import slicer.packaging as packaging

    assert packaging.pip_check("numpy>=1") and not packaging.pip_check("no-such-package")
    packaging.pretend.missing = {"numpy"}
    assert not packaging.pip_check("numpy>=1")
    with pytest.raises(UnansweredDialog, match="numpy"):
        packaging.pip_ensure("numpy>=1")
    slicer_app.dialogs.answer(qt.QMessageBox.Cancel)
    with pytest.raises(RuntimeError, match="declined"):
        packaging.pip_ensure("numpy>=1")
    packaging.pretend.failure = OSError("no network")
    with pytest.raises(OSError, match="no network"):
        packaging.pip_ensure("numpy>=1", prompt_install=False)
    assert packaging.pip_ensure("numpy>=1", prompt_install=False) == ["numpy>=1"]
    assert packaging.pip_check("numpy>=1")
    assert packaging.pip_ensure("numpy>=1") is None
