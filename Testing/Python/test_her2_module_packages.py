"""What HER2 Predict does where packages are missing: it installs on request only."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from her2_panel import Her2Panel, SmallCase


@contextmanager
def not_installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> Iterator[Any]:
    """Packages that count as missing; yields what installation was asked for."""
    import slicer.packaging

    pretend, find_spec = slicer.packaging.pretend, importlib.util.find_spec
    pretend.missing = set(names) - {"torch"}

    def find(name: str, package: str | None = None) -> Any:
        return None if name in names else find_spec(name, package)

    with monkeypatch.context() as patched:
        patched.setattr(importlib.util, "find_spec", find)
        yield pretend


def test_without_a_main_window_apply_says_what_is_missing_and_nothing_is_installed(
    her2: Her2Panel, small_case: SmallCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with not_installed(monkeypatch, "torch") as pretend:
        her2.prepare(small_case)
        assert her2.why_not("predict") == "Not installed: PyTorch."
        assert "PyTorch" in her2.ui.missingLabel.text
        her2.ui.applyButton.click()
    assert pretend.requests == []


def test_without_the_pytorch_extension_the_user_is_told_how_to_get_it(
    her2: Her2Panel, small_case: SmallCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with her2.app.main_window(), not_installed(monkeypatch, "torch") as pretend:
        her2.prepare(small_case)
        assert "predict" in her2.enabled()
        her2.ui.applyButton.click()
        assert her2.case.tasks.current is None
        assert "Install the extension 'PyTorch'" in her2.ui.problemLabel.text
        assert pretend.installed == []


def test_torch_comes_through_its_extension_before_anything_else(
    her2: Her2Panel, small_case: SmallCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation: bool = False) -> None:
            asked.append((askConfirmation, list(pretend.installed)))

    extension = types.ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    with her2.app.main_window(), not_installed(monkeypatch, "torch", "timm") as pretend:
        her2.prepare(small_case)
        her2.ui.applyButton.click()  # the user declines
        assert asked == [(True, [])]
        assert her2.ui.problemLabel.text == "PyTorch was not installed."
        assert pretend.installed == [] and her2.case.tasks.current is None


def test_declining_installs_and_starts_nothing_and_agreeing_goes_on(
    her2: Her2Panel, small_case: SmallCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    with her2.app.main_window(), not_installed(monkeypatch, "timm") as pretend:
        her2.reload()  # what is installed is looked up once
        her2.prepare(small_case)
        assert pretend.requests == []  # not by looking only
        her2.app.dialogs.answer(qt.QMessageBox.Cancel)
        her2.ui.applyButton.click()
        assert pretend.installed == [] and her2.case.tasks.current is None
        assert "declined" in her2.ui.problemLabel.text
        her2.app.dialogs.answer(qt.QMessageBox.Ok)
        her2.ui.applyButton.click()
        assert pretend.installed == ["timm>=1.0.20"]
        assert her2.case.tasks.current.name == "predicting"
        her2.wait()
        assert her2.case.result["status"] == "predicted"
    assert not her2.ui.missingLabel.visible
