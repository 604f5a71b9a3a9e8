"""Child processes, timers and the clock of the harness: Qt's own, under PythonQt's rules."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Harness

ECHO = "import sys\nfor line in sys.stdin: print('got', line.strip(), flush=True)"


@pytest.fixture
def process(slicer_app: Harness) -> Iterator[Any]:
    """A process that answers every line it is sent, by the interpreter Slicer offers."""
    import qt

    process = qt.QProcess()
    process.setProgram(shutil.which("PythonSlicer"))
    process.setArguments(["-c", ECHO])
    process.setProcessChannelMode(qt.QProcess.SeparateChannels)
    yield process
    process.kill()
    process.waitForFinished()


def test_a_child_process_is_talked_to_line_by_line_while_the_window_lives(
    slicer_app: Harness, process: Any
) -> None:
    import qt

    answers: list[str] = []
    ended: list[Any] = []
    process.connect(
        "readyReadStandardOutput()",
        lambda: answers.extend(process.readAllStandardOutput().data().decode().splitlines()),
    )
    process.connect("finished(int,QProcess::ExitStatus)", lambda *how: ended.append(how))
    process.finished.connect(lambda code: ended.append(code))  # both ways of connecting
    process.start()
    for number in range(2):
        assert process.write(f"line {number}\n".encode()) == 7
        slicer_app.wait_until(lambda n=number: len(answers) == n + 1)
    assert answers == ["got line 0", "got line 1"]
    assert process.state() == qt.QProcess.Running and ended == []
    process.closeWriteChannel()
    slicer_app.wait_until(lambda: len(ended) == 2)
    assert (0, qt.QProcess.NormalExit) in ended and 0 in ended


def test_a_killed_child_has_crashed_and_one_that_is_not_there_fails_to_start(
    slicer_app: Harness, process: Any
) -> None:
    import qt

    ended, errors = [], []
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, how: ended.append(how))
    process.connect("errorOccurred(QProcess::ProcessError)", errors.append)
    process.start()
    assert process.waitForStarted() and process.processId() != os.getpid()
    process.kill()
    slicer_app.wait_until(lambda: bool(ended))
    assert ended == [qt.QProcess.CrashExit] and errors == [qt.QProcess.Crashed]
    process.setProgram("/no/such/program")
    process.start()
    slicer_app.wait_until(lambda: len(errors) == 2)
    assert errors[1] == qt.QProcess.FailedToStart


def test_a_child_left_running_is_a_failure(slicer_app: Harness) -> None:
    import qt

    process = qt.QProcess()
    process.start(sys.executable, ["-c", ECHO])
    assert process.waitForStarted()
    with slicer_app.failures.expected("Destroyed while process"):
        process.delete()


def test_a_misspelt_signal_of_a_process_raises(process: Any) -> None:
    with pytest.raises(AttributeError, match="no signal finished"):
        process.connect("finished(int,ExitStatus)", print)
    with pytest.raises(AttributeError, match="no signal readyReadStdout"):
        process.connect("readyReadStdout()", print)


def test_a_child_inherits_the_environment_and_what_is_added(
    slicer_app: Harness, process: Any
) -> None:
    import qt
    import slicer

    environment = slicer.app.startupEnvironment()
    environment.insert("BREASTPREDICT_ADDED", "yes")
    process.setProcessEnvironment(environment)
    process.setArguments(["-c", "import os; print(os.environ['BREASTPREDICT_ADDED'])"])
    process.start()
    assert process.waitForFinished() and process.exitStatus() == qt.QProcess.NormalExit
    assert bytes(process.readAllStandardOutput().data()).strip() == b"yes"
    assert "BREASTPREDICT_ADDED" not in os.environ


def test_a_timer_fires_while_events_are_processed(slicer_app: Harness) -> None:
    import qt
    import slicer

    once, often, fired = qt.QTimer(), qt.QTimer(), []
    once.setSingleShot(True)
    once.setInterval(1)
    once.connect("timeout()", lambda: fired.append("once"))
    often.interval = 1
    often.timeout.connect(lambda: fired.append("often"))
    once.start()
    often.start()
    slicer_app.wait_until(lambda: fired.count("often") >= 3)
    often.stop()
    assert fired.count("once") == 1 and not once.active and not often.active
    qt.QTimer.singleShot(0, lambda: fired.append("now"))
    assert "now" not in fired
    slicer.app.processEvents()
    assert "now" in fired
    qt.QTimer.singleShot(1, lambda: fired.append("later"))
    slicer_app.wait_until(lambda: "later" in fired)


def test_waiting_for_what_never_comes_ends_with_an_error(slicer_app: Harness) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        slicer_app.wait_until(lambda: False, seconds=0.05)
    assert time.monotonic() - start < 5
