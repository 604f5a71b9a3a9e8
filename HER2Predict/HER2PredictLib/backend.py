"""Finds the package ``breastpredict``, and what it needs that Slicer does not bring."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import slicer.packaging

RESOURCES = Path(__file__).resolve().parents[1] / "Resources"


def find_backend() -> None:
    """Make ``breastpredict`` importable: a wheel, the source tree, or the installed extension.

    The extension installs the backend beside its scripted modules; the source tree has it beside
    the module's folder.

    Raises:
        ImportError: it is nowhere; the extension is not whole.
    """
    if importlib.util.find_spec("breastpredict") is not None:
        return
    for folder in Path(__file__).resolve().parents:
        if (folder / "breastpredict" / "__init__.py").is_file():
            sys.path.append(str(folder))
            return
    raise ImportError("the package breastpredict is missing: install the extension again")


def missing_requirements(training: bool = False) -> list[str]:
    """What must be installed first, as pip names it; PyTorch by that name."""
    files = ["requirements.txt", *(["requirements-training.txt"] if training else [])]
    found = [
        str(requirement)
        for name in files
        for requirement in slicer.packaging.load_requirements(RESOURCES / name)
        if not slicer.packaging.pip_check(requirement)
    ]
    # timm would bring a PyTorch of its own choice: it comes first, through its extension.
    return ([] if torch_is_installed() else ["PyTorch"]) + found


def torch_is_installed() -> bool:
    """Whether networks can run; torch is not loaded."""
    return importlib.util.find_spec("torch") is not None


def install_requirements(training: bool = False, ask: bool = True) -> None:
    """Install what is missing. Never called at import or in a headless run.

    Args:
        training: what training needs too.
        ask: let the user agree first.

    Raises:
        RuntimeError: PyTorch's extension is missing, or the user declined.
        CalledProcessError: pip failed.
    """
    missing = missing_requirements(training)
    if "PyTorch" in missing:
        missing.remove("PyTorch")
        try:
            import PyTorchUtils
        except ImportError as error:
            raise RuntimeError(
                "PyTorch is not installed. Install the extension 'PyTorch' with the Extensions "
                "Manager and restart Slicer; without internet see Docs/offline-sites.md."
            ) from error
        if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=ask) is None:
            raise RuntimeError("PyTorch was not installed.")
    if missing:
        slicer.packaging.pip_ensure(
            missing, prompt_install=ask, prompt_restart=ask, requester="HER2Predict"
        )
