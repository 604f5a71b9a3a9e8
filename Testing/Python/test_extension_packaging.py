"""The extension as Slicer's factory builds and packs it, and the backend wherever it is found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_runs import environment, make_mask, make_study
from extension_trees import Extension, build_extension, build_wheel, packages, run
from jsonschema import Draft202012Validator
from PIL import Image

MODULES = ["HER2Predict", "PCRPredict"]
SHARED = "BreastPredictLib"
"""What the modules share, beside them."""

CATEGORIES = {"Analysis", "Informatics", "Quantification"}
"""Of the fixed list of the ExtensionsIndex, those that fit."""

LICENSES = {"LICENSE", "LICENSE.txt", "License.txt", "COPYING", "COPYING.txt"}

SCHEMA = {
    "type": "object",
    "required": ["$schema", "category", "scm_url"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"pattern": r"/slicer-extension-catalog-entry-schema-v1\.0\.2\.json#?$"},
        "build_dependencies": {"type": "array", "items": {"type": "string"}},
        "build_subdirectory": {"type": "string"},
        "category": {"enum": sorted(CATEGORIES)},
        "enabled": {"type": "boolean"},
        "scm_revision": {"type": "string"},
        "scm_url": {"pattern": r"^https://[^ ]+/[^/ ]*[Ss]licer[^/ ]*\.git$"},
        "tier": {"enum": [1, 3, 5]},
        "dicom_support_rule": {"type": "string"},
    },
}
"""Of a catalogue entry, version 1.0.2, with what the index checks besides."""


@pytest.fixture(scope="module")
def extension(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Extension:
    return build_extension(repository, tmp_path_factory.mktemp("extension"))


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(repository, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study and its mask."""
    folder = tmp_path_factory.mktemp("case")
    study = make_study(folder / "dicom")
    return study, make_mask(folder / "mask.nrrd", study)


def files_of(folder: Path) -> set[str]:
    """Every file below, but caches, hidden ones and editors' copies."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not path.name.startswith(".")
        and not path.name.endswith((".pyc", "~"))
    }


def lists(extension: Extension, module: str) -> dict[str, list[str]]:
    """Keyword → what the macro was given under it, for a module."""
    [arguments] = [
        given
        for given in extension.calls("slicerMacroBuildScriptedModule")
        if given[:2] == ["NAME", module]
    ]
    found: dict[str, list[str]] = {}
    for word in arguments:
        if word.isupper() and "." not in word:
            found[word] = []
        else:
            found[[*found][-1]].append(word)
    return found


# What CMake is told.


@pytest.mark.parametrize("module", MODULES)
def test_the_list_of_scripts_is_every_python_file_of_the_module(
    repository: Path, extension: Extension, module: str
) -> None:
    given = lists(extension, module)["SCRIPTS"]
    there = {name for name in files_of(repository / module) if name.endswith(".py")}
    assert sorted(given) == sorted(there), f"add to or remove from {module}/CMakeLists.txt"


@pytest.mark.parametrize("module", MODULES)
def test_the_list_of_resources_is_every_file_of_the_modules_resources(
    repository: Path, extension: Extension, module: str
) -> None:
    given = lists(extension, module)["RESOURCES"]
    there = {
        name
        for name in files_of(repository / module)
        if name.startswith("Resources/") and not name.endswith(".py")
    }
    assert sorted(given) == sorted(there), f"add to or remove from {module}/CMakeLists.txt"


@pytest.mark.parametrize("module", MODULES)
def test_slicer_runs_the_generic_tests_and_the_modules_own(
    extension: Extension, module: str
) -> None:
    assert lists(extension, module)["WITH_GENERIC_TESTS"] == []
    assert ["SCRIPT", f"{module}.py"] in extension.calls("slicer_add_python_unittest")


def test_every_folder_of_a_module_is_built(repository: Path, extension: Extension) -> None:
    there = [path.parent.name for path in repository.glob("*Predict/CMakeLists.txt")]
    built = sorted(given[1] for given in extension.calls("slicerMacroBuildScriptedModule"))
    assert built == sorted(there) == sorted(MODULES)


def test_the_name_of_a_modules_library_is_nobody_elses(repository: Path) -> None:
    # All scripted modules of all extensions share one path.
    for module in MODULES:
        packages_of = [p.parent.name for p in (repository / module).glob("*/__init__.py")]
        assert set(packages_of) <= {f"{module}Lib"}


# What is installed.


def test_the_backend_is_installed_whole_beside_the_scripted_modules(
    repository: Path, extension: Extension
) -> None:
    folders = ("breastpredict", SHARED)
    there = {f"{top}/{name}" for top in folders for name in files_of(repository / top)}
    shared = {f"Resources/{name}" for name in files_of(repository / "Resources")}
    assert shared
    for tree in (extension.build, extension.installed):
        found = files_of(tree)
        assert there <= found and shared <= found
        assert {name for name in found if name.split("/")[0] in folders} == there


def test_installed_files_are_the_checkouts_own(repository: Path, extension: Extension) -> None:
    for name in files_of(extension.installed):
        sources = [repository / name, *(repository / module / name for module in MODULES)]
        [source] = [path for path in sources if path.is_file()]
        assert (extension.installed / name).read_bytes() == source.read_bytes()


def test_no_file_is_installed_twice_and_none_elsewhere(extension: Extension) -> None:
    assert len(extension.manifest) == len(set(extension.manifest))
    assert all(path.is_relative_to(extension.installed) for path in extension.manifest)
    assert not any("__pycache__" in path.parts for path in extension.manifest)


def test_the_wheel_holds_the_same_backend(wheel: Path, extension: Extension) -> None:
    of_wheel, of_extension = (
        files_of(tree / "breastpredict") for tree in (wheel, extension.installed)
    )
    assert of_wheel == of_extension


# What the ExtensionsIndex checks.


def test_the_extension_is_described_as_the_index_reads_it(
    repository: Path, extension: Extension
) -> None:
    text = (repository / "CMakeLists.txt").read_text("utf-8")
    assert re.findall(r"project\s*\(\s*([^\s)]+)", text) == ["BreastPredict"]
    assert extension.calls("EXTENSION_NAME") == [["BreastPredict"]]
    names = ["HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"]
    for name in names:
        [written] = re.findall(rf'^set\(EXTENSION_{name} "([^"]+)"\)$', text, re.MULTILINE)
        assert ";" not in written, "CMake takes it for a list"
        assert extension.calls(f"EXTENSION_{name}") == [[written]]
    assert "## NEXT_MODULE" in text  # where Slicer's wizard adds modules
    ends = [name for name, _ in extension.recorded if name in ("GENERATE_CONFIG", "CPACK")]
    assert ends == ["GENERATE_CONFIG", "CPACK"] == [name for name, _ in extension.recorded[-2:]]


def test_the_pictures_of_the_description_are_in_the_repository(
    repository: Path, extension: Extension
) -> None:
    [[home]] = extension.calls("EXTENSION_HOMEPAGE")
    raw = home.replace("github.com", "raw.githubusercontent.com") + "/main/"
    [[icon]], [[screenshots]] = map(
        extension.calls, ["EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"]
    )
    for url in (icon, *screenshots.split()):
        assert url.startswith(raw)
        with Image.open(repository / url.removeprefix(raw)) as picture:
            assert picture.format == "PNG"


def test_the_icons_are_what_the_script_draws(repository: Path, tmp_path: Path) -> None:
    icons = {
        "BreastPredict.png": (),
        "HER2Predict/Resources/Icons/HER2Predict.png": (),
        "PCRPredict/Resources/Icons/PCRPredict.png": ("--pcr",),
    }
    for name, options in icons.items():
        script, target = repository / "Docs" / "draw_icon.py", tmp_path / "icon.png"
        run([sys.executable, str(script), *options, str(target)])
        with Image.open(target) as drawn, Image.open(repository / name) as committed:
            assert (drawn.size, drawn.mode) == ((128, 128), "RGBA")
            # Processors differ in the last bit of a sine.
            difference = np.subtract(committed, drawn, dtype=np.int16)
            assert np.abs(difference).max() <= 1, name


def test_the_catalogue_entry_is_valid(repository: Path, extension: Extension) -> None:
    path = repository / "BreastPredict.json"
    assert b"\r" not in path.read_bytes()
    entry = json.loads(path.read_text("utf-8"))
    Draft202012Validator(SCHEMA).validate(entry)
    [[depends]], [[home]] = (
        extension.calls("EXTENSION_DEPENDS"),
        extension.calls("EXTENSION_HOMEPAGE"),
    )
    assert entry["build_dependencies"] == depends.split() == ["PyTorch"]
    assert entry["scm_url"] == f"{home}.git"


def test_the_licence_lies_where_the_index_looks(repository: Path) -> None:
    [found] = [path for path in repository.iterdir() if path.name in LICENSES]
    assert "Apache License" in found.read_text("utf-8")


# Where the backend is found. A Python without site has no editable installation: what it imports
# comes from the tree it was given.


def python(*words: str | Path, path: list[Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    found = {**environment(), "PYTHONPATH": os.pathsep.join([*map(str, path), packages()])}
    return subprocess.run(
        [sys.executable, "-S", "-P", *map(str, words)],
        capture_output=True, text=True, timeout=120, check=False, env=found, cwd=cwd,
    )  # fmt: skip


SCRIPT = """
import pathlib, runpy, sys
script, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = script
try:
    runpy.run_path(script, run_name="__main__")
finally:
    import breastpredict
    print("backend:", pathlib.Path(breastpredict.__file__).resolve())
"""
"""Runs a script as Python does, and says which backend it found."""


def test_without_a_tree_there_is_no_backend(tmp_path: Path) -> None:
    done = python("-c", "import breastpredict", path=[], cwd=tmp_path)
    assert "No module named 'breastpredict'" in done.stderr


@pytest.mark.parametrize("origin", ["source tree", "wheel", "installed extension", "build tree"])
def test_the_headless_script_finds_the_backend(
    origin: str, repository: Path, extension: Extension, wheel: Path, tmp_path: Path
) -> None:
    script, backend, path = {
        "source tree": (repository / "HER2Predict", repository, []),
        "wheel": (repository / "HER2Predict", wheel, [wheel]),
        "installed extension": (extension.installed, extension.installed, []),
        "build tree": (extension.build, extension.build, []),
    }[origin]
    words = [script / "Scripts" / "batch.py", "predict", "--help"]
    done = python("-c", SCRIPT, *words, path=path, cwd=tmp_path)
    assert "--seed-point X,Y,Z" in done.stdout, done.stderr
    assert f"backend: {(backend / 'breastpredict').resolve()}" in done.stdout


FINDS = """
import pathlib, sys
import {module}Lib, BreastPredictLib.state, BreastPredictLib.backend
print(pathlib.Path(BreastPredictLib.__file__).resolve().parent)
print(*sorted(p.name for p in BreastPredictLib.backend.RESOURCES.iterdir()))
BreastPredictLib.backend.find_backend()
import breastpredict
print(pathlib.Path(breastpredict.__file__).resolve().parent)
"""
"""What a module finds when Slicer has only its own folder on the path."""


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("origin", ["source tree", "installed extension", "build tree"])
def test_a_module_finds_what_the_modules_share_and_the_backend(
    origin: str, module: str, repository: Path, extension: Extension, tmp_path: Path
) -> None:
    folder, beside = {
        "source tree": (repository / module, repository),
        "installed extension": (extension.installed, extension.installed),
        "build tree": (extension.build, extension.build),
    }[origin]
    done = python("-c", FINDS.format(module=module), path=[folder], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shared, resources, backend = done.stdout.splitlines()
    assert Path(shared) == (beside / SHARED).resolve()
    assert {"ColorTables", "requirements.txt", "requirements-training.txt"} <= {*resources.split()}
    assert Path(backend) == (beside / "breastpredict").resolve()


def test_a_script_without_what_the_modules_share_says_so_and_ends(
    repository: Path, tmp_path: Path
) -> None:
    script = tmp_path / "module" / "Scripts" / "batch.py"
    script.parent.mkdir(parents=True)
    script.write_bytes((repository / "HER2Predict" / "Scripts" / "batch.py").read_bytes())
    done = python(script, "batch", path=[], cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "breastpredict: error: No module named 'BreastPredictLib': install the extension again"
    )


def test_the_wheel_predicts(
    wheel: Path, case: tuple[Path, Path], tiny_run: Path, tmp_path: Path
) -> None:
    # From the source tree every other test does, from the installed extension test_offline_sites.
    study, mask = case
    words = [study, "--model", tiny_run, "--segmentation", mask, "--out", tmp_path]
    done = python("-m", "breastpredict", "her2", "predict", *words, path=[wheel], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [result] = tmp_path.glob("*/result.json")
    assert {path.name for path in result.parent.iterdir()} >= {
        "segmentation.dcm", "report.dcm", "heatmap.dcm", "capture.dcm", "report.html",
    }  # fmt: skip
