"""Docs/offline-sites.md, followed step by step from the installed extension in a fresh Python."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from cli_runs import make_mask, make_study
from extension_trees import Extension, build_extension
from packaging.requirements import Requirement
from slicer_requirements import bundled, closure, normal, requirements

from breastpredict.errors import InputError
from breastpredict.models import VIT_TINY, build_vit
from breastpredict.models.weights import HUB_NAME, initialise

PAGE = "Docs/offline-sites.md"
NO_NETWORK = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "all_proxy")}
OUR_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="the commands of the page are those for Linux on x86-64",
)


@dataclass(frozen=True)
class Block:
    """Commands of the page. ``kind``: nothing, ``install`` or ``unrun`` (too large for a test)."""

    kind: str
    text: str


def blocks(repository: Path) -> list[Block]:
    """What is fenced as sh, in order."""
    text = (repository / PAGE).read_text("utf-8")
    found = re.findall(r"^```sh ?(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(kind, commands) for kind, commands in found]


@dataclass(frozen=True)
class Site:
    """The computer without internet after all steps.

    Attributes:
        folder: the one that was carried.
        environment: of its terminal.
        outputs: (block, what it printed).
    """

    folder: Path
    environment: dict[str, str]
    outputs: list[tuple[Block, str]]

    @property
    def extended(self) -> dict[str, str]:
        """The environment with the path that the page sets."""
        return {**self.environment, "PYTHONPATH": self.environment["EXTENSION"]}

    def python(self, code: str) -> str:
        """What a line of Python prints there."""
        return bash(f"PythonSlicer -c {shlex.quote(code)}", self.folder, self.environment).strip()


def bash(commands: str, folder: Path, environment: dict[str, str]) -> str:
    """Run commands as a terminal does, but stop at the first that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        capture_output=True, text=True, timeout=300, check=False, cwd=folder, env=environment,
    )  # fmt: skip
    offline = re.search(r"Retrying \(|ConnectionError|Temporary failure in name", done.stderr)
    if done.returncode and offline and "pip download" in commands:
        message = "needs a package index to make the wheelhouse from"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def packages_of_slicer(repository: Path) -> set[str]:
    """What Slicer and the PyTorch extension have installed, without what the wheelhouse brings."""
    listed = set(requirements(repository / "Resources/wheelhouse.txt"))
    found: set[str] = set()
    open_names = bundled(repository) | {"pip", "setuptools", "torch", "torchvision"}
    while open_names:
        name = open_names.pop()
        found.add(name)
        needs = [Requirement(line) for line in requires(name) or []]
        needs = [n for n in needs if n.marker is None or n.marker.evaluate({"extra": ""})]
        for extra in (e for n in needs for e in n.extras):
            needs += [
                each
                for n in needs
                if extra in n.extras
                for each in map(Requirement, requires(n.name) or [])
                if each.marker is not None and each.marker.evaluate({"extra": extra})
            ]
        open_names |= {normal(n.name) for n in needs} - listed - found
    return found


def slicer_python(repository: Path, folder: Path) -> Path:
    """A fresh environment that has what Slicer has; the folder of its ``PythonSlicer``."""
    create = [sys.executable, "-m", "venv", "--without-pip", str(folder / "python")]
    subprocess.run(create, check=True)
    brought = folder / "brought"
    brought.mkdir()
    for name in packages_of_slicer(repository):
        of_package = distribution(name)
        tops = {path.parts[0] for path in of_package.files or []} - {"..", "__pycache__"}
        for top in tops:
            if not (brought / top).exists():
                (brought / top).symlink_to(Path(str(of_package.locate_file(top))))
    [site] = (folder / "python" / "lib").glob("python*/site-packages")
    (site / "slicer.pth").write_text(f"{brought}\n", "utf-8")
    programs = folder / "programs"
    programs.mkdir()
    program = programs / "PythonSlicer"
    program.write_text(f'#!/bin/sh\nexec "{folder}/python/bin/python" "$@"\n', "utf-8")
    program.chmod(0o755)
    return programs


@pytest.fixture(scope="module")
def site(repository: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Every step of the page was followed."""
    import timm
    import torch

    machine = tmp_path_factory.mktemp("machine")
    extension: Extension = build_extension(repository, machine)
    programs = slicer_python(repository, machine)
    folder = machine / "carried"
    folder.mkdir()
    shutil.copytree(tiny_run, folder / "RUN")
    network = timm.create_model("vit_tiny_patch16_224")
    torch.save(network.state_dict(), folder / "vit_tiny.pth")

    kept = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "PYTHONHOME")}
    kept["EXTENSION"] = str(extension.installed)
    kept["OMP_NUM_THREADS"] = "1"
    search = f"{programs}:{Path(sys.executable).parent}:{kept['PATH']}"
    connected = {**kept, "PATH": search}
    alone = {n: v for n, v in connected.items() if not n.upper().startswith("PIP_")}
    alone |= {"PIP_CONFIG_FILE": os.devnull, "HF_HUB_OFFLINE": "1", **NO_NETWORK}
    alone["PIP_NO_COMPILE"] = "1"  # Python does so on the first import; here most never comes

    outputs = []
    exports = ""  # a block is run in a shell of its own, the page in one terminal
    for block in (each for each in blocks(repository) if each.kind != "unrun"):
        # The wheels must be for the Python of this test; the rest of the page is taken as it is.
        text = block.text.replace("--python-version 3.12", f"--python-version {OUR_PYTHON}")
        environment = connected if "pip download" in text else alone
        outputs.append((block, bash(exports + text, folder, environment)))
        exports += "".join(re.findall(r"^export .*\n", text, re.MULTILINE))
    return Site(folder, alone, outputs)


def test_the_page_has_all_its_steps(repository: Path) -> None:
    assert [block.kind for block in blocks(repository)] == [
        "", "unrun", "unrun", "", "install", "install", "", "", "", "unrun", "",
    ]  # fmt: skip


def test_all_that_is_missing_comes_from_the_wheelhouse(site: Site, repository: Path) -> None:
    names = {normal(path.name.split("-")[0]) for path in (site.folder / "wheelhouse").iterdir()}
    asked = {
        "jinja2",
        "jsonschema",
        "psutil",
        "safetensors",
        "timm",
        "tqdm",
        "fire",
        "monai",
        "pytorch-ignite",
    }
    assert names == closure(repository, asked)
    printed = "".join(output for block, output in site.outputs if block.kind == "install")
    assert "Looking in links: wheelhouse" in printed and "Looking in indexes" not in printed
    installed = site.python(
        "import sysconfig, pathlib; "
        "print(*[p.name for p in pathlib.Path(sysconfig.get_path('purelib')).glob('*.dist-info')])"
    )
    found = {normal(name.split("-")[0]) for name in installed.split()}
    assert found == names - {"colorama"}, "which only Windows needs"


def test_what_slicer_brings_is_not_replaced(site: Site) -> None:
    names = ["numpy", "scipy", "pydicom", "highdicom", "SimpleITK", "torch"]
    code = "from importlib.util import find_spec as f; print(*[f(n).origin for n in {}])"
    found = site.python(code.format(names)).split()
    assert [Path(path).parent for path in found] == [
        site.folder.parent / "brought" / name for name in names
    ]


def test_the_prediction_of_the_page_is_written(site: Site) -> None:
    [folder] = (path for path in (site.folder / "OUT").iterdir() if path.is_dir())
    names = {path.name for path in folder.iterdir()}
    assert {"segmentation.dcm", "report.dcm", "heatmap.dcm", "result.json"} <= names


def test_the_process_of_the_module_predicts(site: Site, tmp_path: Path) -> None:
    study = make_study(tmp_path / "dicom")
    mask = make_mask(tmp_path / "mask.nrrd", study)
    arguments = {
        "study": study, "run": site.folder / "RUN", "out": tmp_path / "out", "segmentation": mask,
        "acquisition": 1, "phase": 2, "folder": tmp_path, "device": "cpu",
    }  # fmt: skip
    request = {"id": 1, "command": "predict", "arguments": arguments}
    (tmp_path / "requests").write_text(json.dumps(request, default=str) + "\n", "utf-8")
    answers = bash(
        f"PythonSlicer -m breastpredict worker < {tmp_path}/requests", site.folder, site.extended
    )
    last = json.loads(answers.splitlines()[-1])
    assert last["event"] == "done", last
    assert (Path(last["result"]["folder"]) / "report.dcm").is_file()
    assert Path(last["result"]["map"]).is_file()


def test_its_backend_is_that_of_the_extension(site: Site) -> None:
    code = "import breastpredict; print(breastpredict.__file__)"
    found = bash(f"PythonSlicer -c {shlex.quote(code)}", site.folder, site.extended)
    assert found.strip() == f"{site.environment['EXTENSION']}/breastpredict/__init__.py"
    with pytest.raises(AssertionError, match="No module named 'breastpredict'"):
        site.python(code)


def test_the_converted_weights_start_a_training(site: Site) -> None:
    record = initialise(build_vit(**VIT_TINY), site.folder / "vit_tiny.safetensors")
    assert (record.source, record.warning) == ("file", "")


def test_the_weights_of_the_page_are_those_the_hub_would_give(repository: Path) -> None:
    [download] = [block.text for block in blocks(repository) if block.text.startswith("curl")]
    assert f"https://huggingface.co/{HUB_NAME}/resolve/main/model.safetensors" in download
    assert "vit_tiny.safetensors" in shlex.split(download)


def test_commands_too_large_for_a_test_have_options_that_exist(
    site: Site, repository: Path
) -> None:
    for block in blocks(repository):
        if block.kind == "unrun" and not block.text.startswith("curl"):
            assert (
                "usage" in bash(f"{block.text.strip()} --help", site.folder, site.extended).lower()
            )


@pytest.mark.parametrize("system", ["Windows", "macOS, Slicer for Apple processors"])
def test_the_wheelhouse_can_be_made_for_the_other_systems(
    repository: Path, tmp_path: Path, system: str
) -> None:
    text = (repository / PAGE).read_text("utf-8")
    [options] = re.findall(rf"^\| {system} \| `(--platform [^`]+)` \|$", text, re.MULTILINE)
    lines = repository / "Resources" / "wheelhouse.txt"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    bash(
        f"python3 -m pip download --dest wheels --no-deps --only-binary=:all: "
        f"--python-version 3.12 {options} -r {shlex.quote(str(lines))}",
        tmp_path,
        environment,
    )
    names = {normal(path.name.split("-")[0]) for path in (tmp_path / "wheels").iterdir()}
    assert names == set(requirements(lines))


def test_the_page_quotes_the_error_as_it_is(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", "/nowhere")
    with pytest.raises(InputError) as caught:
        initialise(build_vit(**VIT_TINY), "imagenet")
    text = (repository / PAGE).read_text("utf-8")
    assert caught.value.problem in text
