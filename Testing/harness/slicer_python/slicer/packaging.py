"""Package installation that installs nothing: requests are recorded, and may be made to fail.

The test says through `pretend` what is installed and how the next request ends:

    slicer.packaging.pretend.missing = {"torch"}
    slicer.packaging.pretend.failure = RuntimeError("declined")
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CalledProcessError  # noqa: F401  (part of the module, as in Slicer)

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass
class _Pretence:
    """What the test lets this module believe and do."""

    missing: set[str] = field(default_factory=set)  # names that count as not installed
    failure: Exception | None = None  # raised by the next installation
    installed: list[str] = field(default_factory=list)  # requirements that were "installed"
    requests: list[tuple[str, dict]] = field(default_factory=list)  # function and its arguments

    def reset(self):
        self.__init__()


pretend = _Pretence()


def _listed(requirements):
    """Requirements as strings, from one string (of pip arguments or one requirement) or a list."""
    if isinstance(requirements, Requirement):
        return [str(requirements)]
    if isinstance(requirements, str):
        try:
            return [str(Requirement(requirements))]
        except ValueError:
            return requirements.split()
    return [str(r) for r in requirements]


def load_requirements(path: str | Path) -> list[Requirement]:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    kept = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines]
    return [Requirement(line) for line in kept if line and not line.startswith("-")]


def load_pyproject_dependencies(path: str | Path) -> list[Requirement]:
    content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    return [Requirement(r) for r in content.get("project", {}).get("dependencies", [])]


def pip_check(
    req: str | Requirement | list[str | Requirement],
    _seen: set[tuple[str, frozenset[str]]] | None = None,
) -> bool:
    """Whether the requirements are met by what is installed, or pretended to be."""
    return all(_is_met(Requirement(r)) for r in _listed(req))


def _is_met(requirement):
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    name = canonicalize_name(requirement.name)
    if name in {canonicalize_name(m) for m in pretend.missing}:
        return False
    if any(canonicalize_name(Requirement(r).name) == name for r in pretend.installed):
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def isPipInstallInProgress() -> bool:
    return False


def pip_ensure(
    requirements: str | Requirement | list[str | Requirement],
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Install what is missing; asks first unless told not to, as in Slicer."""
    arguments = dict(locals())
    missing = [r for r in _listed(requirements) if not pip_check(r)]
    pretend.requests.append(("pip_ensure", arguments))
    if not missing:
        return None
    if prompt_install:
        import slicer

        question = f"{requester or 'This module'} needs: {', '.join(missing)}. Install now?"
        if not slicer.util.confirmOkCancelDisplay(question):
            raise RuntimeError("the installation was declined")
    return _install(missing)


def pip_install(
    requirements: str | list[str],
    constraints: str | Path | None = None,
    no_deps_requirements: str | list[str] | None = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    parent: qt.QWidget | None = None,  # noqa: F821  (never evaluated)
    logCallback: Callable[[str], None] | None = None,  # noqa: F821
    completedCallback: Callable[[int], None] | None = None,  # noqa: F821
) -> list[str] | None:
    pretend.requests.append(("pip_install", dict(locals())))
    installed = _install(_listed(requirements))
    if completedCallback is not None:
        completedCallback(0)
    return installed


def pip_uninstall(
    requirements: str | list[str],
    blocking: bool = True,
    logCallback: Callable[[str], None] | None = None,  # noqa: F821
    completedCallback: Callable[[int], None] | None = None,  # noqa: F821
) -> None:
    pretend.requests.append(("pip_uninstall", dict(locals())))
    if completedCallback is not None:
        completedCallback(0)


def _install(requirements):
    failure, pretend.failure = pretend.failure, None
    if failure is not None:
        raise failure
    pretend.installed += [r for r in requirements if not r.startswith("-")]
    pretend.missing -= {canonicalize_name(Requirement(r).name) for r in pretend.installed}
    return requirements
