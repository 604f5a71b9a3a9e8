"""What cannot be written as DICOM is refused in one line, and a failed write changes no file."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_results import (
    PROVENANCE,
    SIZE,
    edit,
    irregular_mask,
    read_phase,
    source_study,
)

from breastpredict.dicom import (
    Phase,
    Written,
    write_capture,
    write_parametric_map,
    write_report,
    write_segmentation,
)
from breastpredict.errors import GateRefusal, InputError


@pytest.fixture(scope="module")
def phase(tmp_path_factory: pytest.TempPathFactory) -> Phase:
    folder = tmp_path_factory.mktemp("study")
    source_study(folder, "siemens", "oblique")
    return read_phase(folder)


def writers(phase: Phase) -> dict[str, Callable[[Path], Written]]:
    """Of each kind a writer that only wants a path."""
    slab = phase.geometry.slab(2, 5)
    heat = np.random.default_rng(0).random(slab.size[::-1]).astype(np.float32)
    return {
        "segmentation": lambda path: write_segmentation(
            phase.geometry.to_image(irregular_mask()), phase, path, provenance=PROVENANCE
        ),
        "report": lambda path: write_report(path, phase, provenance=PROVENANCE, refusal="No."),
        "map": lambda path: write_parametric_map(
            slab.to_image(heat), phase, path, quantity="attention", provenance=PROVENANCE
        ),
        "capture": lambda path: write_capture(
            np.zeros((40, 60, 3), np.uint8), phase, path, provenance=PROVENANCE
        ),
    }


def moved(image: sitk.Image, by: tuple[float, float, float]) -> sitk.Image:
    image.SetOrigin([a + b for a, b in zip(image.GetOrigin(), by, strict=True)])
    return image


def turned(image: sitk.Image) -> sitk.Image:
    image.SetDirection((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    return image


def mask_of(phase: Phase) -> sitk.Image:
    return phase.geometry.to_image(irregular_mask())


def map_of(phase: Phase, value: float = 0.5) -> sitk.Image:
    values = np.full((2, *SIZE[1::-1]), 0.25, np.float32)
    values[1, 3, 4] = value
    return phase.geometry.slab(3, 5).to_image(values)


REFUSED: dict[str, tuple[type[Exception], str, Callable[[Phase, Path], object]]] = {
    "an empty mask": (
        GateRefusal,
        "The tumour mask is empty",
        lambda phase, path: write_segmentation(
            phase.geometry.to_image(dtype=np.uint8), phase, path, provenance=PROVENANCE
        ),
    ),
    **{
        f"a mask {how}": (
            InputError,
            "The mask is not on the grid of the phase",
            lambda phase, path, make=make: write_segmentation(
                make(mask_of(phase)), phase, path, provenance=PROVENANCE
            ),
        )
        for how, make in {
            "moved by a tenth of a millimetre": lambda mask: moved(mask, (0.1, 0.0, 0.0)),
            "of another orientation": turned,
            "with a slice less": lambda mask: mask[:, :, 1:],
            "with other voxels": lambda mask: sitk.Expand(mask, [2, 1, 1]),
        }.items()
    },
    **{
        f"a map {how}": (
            InputError,
            "The map is not on slices of the phase",
            lambda phase, path, make=make: write_parametric_map(
                make(map_of(phase)), phase, path, quantity="rollout", provenance=PROVENANCE
            ),
        )
        for how, make in {
            "between two slices": lambda heat: moved(heat, (0.0, 0.0, 1.0)),
            "past the last slice": lambda heat: moved(heat, (0.0, 0.0, 100.0)),
            "before the first slice": lambda heat: moved(heat, (0.0, 0.0, -100.0)),
            "of another orientation": turned,
            "of a part of the slice": lambda heat: heat[1:, :, :],
        }.items()
    },
    **{
        f"a map that holds {value}": (
            InputError,
            "The map holds values that are not finite",
            lambda phase, path, value=value: write_parametric_map(
                map_of(phase, value), phase, path, quantity="evidence", provenance=PROVENANCE
            ),
        )
        for value in (float("nan"), float("inf"), float("-inf"))
    },
    **{
        f"a report with {what}": (
            InputError,
            "The report would hold a value that is not finite",
            lambda phase, path, given=given: write_report(
                path, phase, provenance=PROVENANCE, **given
            ),
        )
        for what, given in {
            "a probability that is no number": {"probabilities": {"zero": float("nan")}},
            "an infinite volume": {"measurements": {"volume_mm3": float("inf")}},
            "a score that is no number": {"scores": [("t", "low", float("nan"), 0.5)]},
            "a threshold that is no number": {"scores": [("t", "low", 0.5, float("nan"))]},
        }.items()
    },
    "a capture of grey values": (
        InputError,
        "A capture needs an RGB picture of 8 bits",
        lambda phase, path: write_capture(
            np.zeros((5, 5), np.uint8), phase, path, provenance=PROVENANCE
        ),
    ),
    "a capture of 16 bits": (
        InputError,
        "A capture needs an RGB picture of 8 bits",
        lambda phase, path: write_capture(
            np.zeros((5, 5, 3), np.uint16),  # type: ignore[arg-type]
            phase,
            path,
            provenance=PROVENANCE,
        ),
    ),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_what_cannot_be_right_is_refused_in_one_line_and_leaves_no_file(
    phase: Phase, tmp_path: Path, what: str
) -> None:
    kind, words, write = REFUSED[what]
    old = tmp_path / "old.dcm"
    old.write_bytes(b"as it was")
    for name in ("new.dcm", "old.dcm"):
        with pytest.raises(kind, match=words) as caught:
            write(phase, tmp_path / name)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [old] and old.read_bytes() == b"as it was"


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_a_source_that_cannot_be_referred_to_is_refused_in_one_line(
    tmp_path: Path, keyword: str
) -> None:
    source_study(tmp_path / "source", "siemens")
    phase = read_phase(tmp_path / "source")
    edit(tmp_path / "source", lambda data: delattr(data, keyword))  # since it was read
    for write in writers(phase).values():
        with pytest.raises(InputError, match=f"The tag {keyword} is missing") as caught:
            write(tmp_path / "out" / "object.dcm")
        assert "\n" not in str(caught.value) and caught.value.path is not None
    assert not (tmp_path / "out").exists()


@contextmanager
def full_disk(limit: int = 1024) -> Iterator[None]:
    """No file may grow past ``limit`` bytes: writing fails half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", ["segmentation", "report", "map", "capture"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    phase: Phase, tmp_path: Path, kind: str
) -> None:
    write, path = writers(phase)[kind], tmp_path / "object.dcm"
    write(path)
    before = path.read_bytes()
    assert len(before) > 2048
    for name in ("object.dcm", "another.dcm"):
        with pytest.raises(OSError), full_disk():
            write(tmp_path / name)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before
    write(path)  # and once there is room it is replaced, by an object of its own
    assert path.read_bytes() != before
    assert pydicom.dcmread(path).SOPInstanceUID.encode() not in before
