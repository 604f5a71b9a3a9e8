"""What the backend needs that Slicer does not bring, and installing it."""

from __future__ import annotations

import importlib.util

import slicer.packaging

from .backend import RESOURCES


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


def install_requirements(requester: str, training: bool = False, ask: bool = True) -> None:
    """Install what is missing. Never called at import or in a headless run.

    Args:
        requester: the module that needs it, for the user.
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
            missing, prompt_install=ask, prompt_restart=ask, requester=requester
        )
