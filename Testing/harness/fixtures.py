"""Pytest fixtures; a test file's conftest imports them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Harness


@pytest.fixture(scope="session")
def running_slicer(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The application of this process. With SLICER_SOURCES set, on Slicer's own Python."""
    missing = [n for n in ("slicer", "PySide6") if importlib.util.find_spec(n) is None]
    if missing:
        message = f"needs {' and '.join(missing)} (pip install -e '.[slicer]')"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    sources, contract = os.environ.get("SLICER_SOURCES"), os.environ.get("SLICER_QT_API")
    return Harness(
        tmp_path_factory.mktemp("slicer"),
        Path(sources) if sources else None,
        Path(contract) if contract else None,
    )


@pytest.fixture
def slicer_app(running_slicer: Harness) -> Iterator[Harness]:
    """The application as after a fresh start; what Slicer would only print fails the test.

    PythonSlicer is found on the PATH, as in Slicer.
    """
    running_slicer.failures.start()
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(running_slicer.state.programs), path])
    try:
        yield running_slicer
        running_slicer.reset()
        unused = running_slicer.dialogs.unused
        running_slicer.failures.check()
        assert not unused, f"no dialog asked for the answers {unused}"
    finally:
        os.environ["PATH"] = path
        running_slicer.failures.stop()
        running_slicer.reset()
