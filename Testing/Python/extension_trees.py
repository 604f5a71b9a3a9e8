"""The extension built and installed with CMake, and the backend as an unpacked wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

SCRIPTED = Path("lib", "Slicer-5.12", "qt-scripted-modules")
"""Where a scripted module lies in a build tree and in an installed extension."""

STANDIN = Path(__file__).resolve().parent / "cmake_standin"


@dataclass(frozen=True)
class Extension:
    """The extension after configure, build and install.

    Attributes:
        build: the scripted modules in the build tree.
        installed: the scripted modules in the installed extension.
        manifest: every file that was installed, as often as it was.
        recorded: (macro, its arguments), in order.
    """

    build: Path
    installed: Path
    manifest: list[Path]
    recorded: list[tuple[str, list[str]]]

    def calls(self, macro: str) -> list[list[str]]:
        """What a macro was given, call by call."""
        return [arguments for name, arguments in self.recorded if name == macro]


def build_extension(source: Path, folder: Path, *options: str) -> Extension:
    """Configure, build and install as Slicer's extension factory does, with the stand-in."""
    build, prefix = folder / "build", folder / "installed"
    _cmake("-S", source, "-B", build, f"-DSlicer_DIR={STANDIN}", *options, *_no_compiler())
    _cmake("--build", build)
    _cmake("--install", build, "--prefix", prefix, "--component", "RuntimeLibraries")
    manifest = (build / "install_manifest_RuntimeLibraries.txt").read_text("utf-8").splitlines()
    return Extension(
        build / SCRIPTED, prefix / SCRIPTED, list(map(Path, manifest)), _recorded(build)
    )


def build_wheel(source: Path, folder: Path) -> Path:
    """The backend's wheel, unpacked; built on a copy, so that the checkout stays as it is."""
    copy = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "breastpredict", copy / "breastpredict", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE.txt"):
        shutil.copy(source / name, copy)
    options = "--quiet --no-deps --no-index --no-build-isolation --wheel-dir".split()
    run([sys.executable, "-m", "pip", "wheel", str(copy), *options, str(folder)])
    [wheel] = folder.glob("breastpredict-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def run(command: list[str], **environment: str) -> str:
    """Run to the end; its output. Fails with all it said."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def packages() -> str:
    """Where the packages of this environment lie."""
    return sysconfig.get_path("purelib")


def _cmake(*arguments: str | Path) -> None:
    import cmake
    import ninja

    tools = os.pathsep.join([cmake.CMAKE_BIN_DIR, ninja.BIN_DIR, os.environ.get("PATH", "")])
    program = Path(cmake.CMAKE_BIN_DIR, "cmake")
    run([str(program), *map(str, arguments)], CMAKE_GENERATOR="Ninja", PATH=tools)


def _no_compiler() -> list[str]:
    """Slicer's extensions are C++ projects to CMake; this one has nothing to compile."""
    return [
        option
        for language in ("C", "CXX")
        for option in (
            f"-DCMAKE_{language}_COMPILER={sys.executable}",
            f"-DCMAKE_{language}_COMPILER_FORCED=TRUE",
            f"-DCMAKE_{language}_COMPILER_ID_RUN=TRUE",
        )
    ]


def _recorded(build: Path) -> list[tuple[str, list[str]]]:
    calls: list[tuple[str, list[str]]] = []
    for line in (build / "recorded.txt").read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            calls.append((line[1:-1], []))
        else:
            calls[-1][1].append(line)
    return calls
