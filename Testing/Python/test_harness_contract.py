"""The harness holds to the contract: its copies, its stand-ins and its own Python modules."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import Harness
from harness.contract import FOLDER, absent, python_modules
from harness.make_contract import parts

OWN = FOLDER.parent / "slicer_python"
WRAPPER = "slicer/parameterNodeWrapper/"
# What the harness writes itself: Slicer's module, and the files that hold it here.
OWN_MODULES = {
    "slicer.ScriptedLoadableModule": ["slicer/ScriptedLoadableModule.py"],
    "slicer.cli": ["slicer/cli.py"],
    "slicer.i18n": ["slicer/i18n.py"],
    "slicer.packaging": ["slicer/packaging.py"],
    "slicer.testing": ["slicer/testing.py"],
    "SampleData": ["SampleData.py"],
    "DICOMLib.DICOMPlugin": ["DICOMLib/DICOMPlugin.py"],
    "DICOMLib.DICOMUtils": ["DICOMLib/DICOMUtils.py"],
    "slicer.parameterNodeWrapper.guiConnectors": [
        WRAPPER + name for name in ("guiConnectors.py", "_connector.py", "_qt_connectors.py")
    ],
    "slicer.parameterNodeWrapper.serializers": [
        WRAPPER + name
        for name in ("serializers.py", "_serializer.py", "_scalars.py", "_containers.py")
    ],
    **{
        f"slicer.parameterNodeWrapper.{name}": [f"{WRAPPER}{name}.py"]
        for name in "default parameterInfo parameterPack types util validators wrapper".split()
    },
}
# Base classes of the harness's own, that no module imports.
NOT_IN_SLICER = {"OneSignal"}


def test_the_copies_in_the_project_equal_the_original_files(shared: Path) -> None:
    for name, expected in parts(shared / "slicer_api").items():
        assert json.loads((FOLDER / name).read_text(encoding="utf-8")) == expected, name


def _parameters(function: ast.FunctionDef) -> list[tuple[str, str | None]]:
    """Name and default of every parameter, as written."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    pairs = list(zip(positional, [*defaults, *given.defaults], strict=True))
    pairs += list(zip(given.kwonlyargs, given.kw_defaults, strict=True))
    named = [(a.arg, None if d is None else ast.unparse(d)) for a, d in pairs]
    return named + [(a.arg, None) for a in (given.vararg, given.kwarg) if a is not None]


def _own_constructor(cls: ast.ClassDef) -> bool:
    """Whether nobody but the package itself calls the constructor, so that it may differ."""
    return cls.name.endswith("Connector") and cls.name != "GuiConnector"


def _public(nodes: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef)]
    return {n.name: n for n in functions if not n.name.startswith("_") or n.name == "__init__"}


@pytest.mark.parametrize("module", OWN_MODULES)
def test_what_the_harness_writes_itself_has_the_signatures_of_slicer(module: str) -> None:
    contract = python_modules()[module]
    texts = [(OWN / name).read_text(encoding="utf-8") for name in OWN_MODULES[module]]
    body = [statement for text in texts for statement in ast.parse(text).body]

    def compare(found: dict[str, ast.FunctionDef], expected: dict[str, dict], where: str) -> None:
        for name, function in found.items():
            if name in expected:
                wanted = [(p["name"], p.get("default")) for p in expected[name]["params"]]
                assert _parameters(function) == wanted, f"{where}{name}"

    compare(_public(body), contract["functions"], f"{module}.")
    classes = {n.name: n for n in body if isinstance(n, ast.ClassDef) and n.name[0] != "_"}
    for name, cls in classes.items():
        if name in NOT_IN_SLICER:
            continue
        assert name in contract["classes"], f"Slicer's {module} has no class {name}"
        methods = _public(cls.body)
        if _own_constructor(cls):
            methods.pop("__init__", None)
        compare(methods, contract["classes"][name]["methods"], f"{module}.{name}.")
    exported = [
        ast.literal_eval(n.value)
        for n in body
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"
    ]
    if exported and contract["all"]:
        assert set(exported[0]) <= set(contract["all"]), module


def test_every_file_the_harness_writes_for_slicer_is_held_to_the_contract() -> None:
    files = {str(p.relative_to(OWN)) for p in OWN.rglob("*.py")}
    held = {name for names in OWN_MODULES.values() for name in names}
    assert files - held == {f"{WRAPPER}__init__.py", "DICOMLib/__init__.py"}


def test_a_behaviour_imitates_only_what_the_real_class_has(slicer_app: Harness) -> None:
    assert slicer_app.standins.invented() == []


def test_a_behaviour_that_invents_a_method_a_property_or_a_default_is_found(
    slicer_app: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.behaviours import REGISTRY

    behaviour = REGISTRY["ctkSliderWidget"]
    monkeypatch.setattr(behaviour, "_do_setMinimum", lambda self, value: None, raising=False)
    monkeypatch.setattr(behaviour, "_get_colour", lambda self: None, raising=False)
    monkeypatch.setitem(behaviour.defaults, "magic", 1)
    assert slicer_app.standins.invented() == [
        "ctkSliderWidget.setMinimum()",
        "ctkSliderWidget.colour",
        "ctkSliderWidget default magic",
    ]


def test_methods_and_classes_newer_than_5_12_are_taken_out_of_slicer_core(
    slicer_app: Harness,
) -> None:
    import slicer

    assert not hasattr(slicer, "vtkMRMLJsonReader")
    assert not hasattr(slicer.util, "LazyImport")
    for name, methods in absent()["methods"].items():
        assert not set(methods) & set(getattr(slicer, name).__dict__), name
    with pytest.raises(AttributeError):
        slicer.vtkITKImageWriter().IsNiftiFile()


ON_SOURCES = """
import sys
from pathlib import Path
from typing import Any
from harness import Harness
sources, toy = map(Path, sys.argv[1:])
app = Harness(sources.parent / "home", sources)
panel = app.enter(app.load(toy))
panel.ui.opacitySlider.value = 0.25
import slicer.packaging, slicer.parameterNodeWrapper as wrapper, MarkupsLib
assert panel.parameters.opacity == 0.25
assert Path(wrapper.__file__).is_relative_to(sources) and MarkupsLib.connected
assert slicer.packaging.pretend.installed == []
app.reset()
app.failures.check()
print("worked")
"""


def test_with_a_tree_of_slicers_sources_their_python_is_used_but_nothing_is_installed(
    tmp_path: Path, repository: Path
) -> None:
    """The tree is a copy of the harness's own Python where Slicer's would lie."""
    sources = tmp_path / "sources"
    shutil.copytree(OWN / "slicer", sources / "Base/Python/slicer")
    (sources / "Base/Python/slicer/packaging.py").write_text("raise AssertionError('installs')")
    shutil.copytree(OWN / "DICOMLib", sources / "Modules/Scripted/DICOMLib")
    for package, folder in (
        ("SubjectHierarchyLib", "Modules/Loadable/SubjectHierarchy/Widgets/Python"),
        ("MarkupsLib", "Modules/Loadable/Markups"),
    ):
        connectors = sources / folder / package / "parameterNodeWrapper/guiConnectors.py"
        connectors.parent.mkdir(parents=True)
        (connectors.parents[1] / "__init__.py").write_text("")
        (connectors.parent / "__init__.py").write_text("")
        connectors.write_text(f"import {package}\n{package}.connected = True\n")
    toy = Path(__file__).parent / "toy_module" / "ToyModule.py"
    done = subprocess.run(
        [sys.executable, "-c", ON_SOURCES, str(sources), str(toy)],
        capture_output=True, text=True, cwd=repository / "Testing",
    )  # fmt: skip
    assert done.stdout.strip() == "worked", done.stderr
    assert done.returncode == 0


def test_the_example_of_the_readme_works(slicer_app: Harness, tmp_path: Path) -> None:
    import numpy as np

    text = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    code = code.replace("Testing/Python/toy_module", f"{Path(__file__).parent}/toy_module")
    names: dict[str, Any] = {"Path": Path, "np": np}
    exec(code, names)
    names["test_the_mean_of_a_phase_is_shown"](slicer_app, tmp_path)
    assert (tmp_path / "panel.png").is_file() and (tmp_path / "red.png").is_file()
