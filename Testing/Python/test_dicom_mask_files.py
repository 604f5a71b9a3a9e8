"""Masks as NRRD, NIfTI, MetaImage, Slicer segmentation or array: by their place, or by an order
of axes that is stated; never turned around in silence."""

from __future__ import annotations

import gzip
import itertools
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dce_volumes import dce, oblique_axes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mask_objects import Bools, array_of
from nifti_files import write_nifti

from breastpredict.dicom import read_mask
from breastpredict.errors import BreastPredictError, GateRefusal, InputError
from breastpredict.imaging import Geometry

SIZE = (20, 16, 9)  # i, j, k; no two alike
AXIAL = Geometry.from_image(dce(1, size=SIZE)[0])
OBLIQUE = Geometry.from_image(dce(1, size=SIZE, axes=oblique_axes())[0])
ORDERS = [
    "".join(f"{sign}{axis}" for sign, axis in zip(signs, axes, strict=True))
    for axes in itertools.permutations("xyz")
    for signs in itertools.product(("", "-"), repeat=3)
]


def ragged(seed: int = 0) -> Bools:
    """A mask ``[k, j, i]`` that no turn or shift leaves as it is."""
    rng = np.random.default_rng(seed)
    out = np.zeros(SIZE[::-1], bool)
    out[2:7, 3:12, 5:17] = rng.random((5, 9, 12)) < 0.6
    return out


def read(path: Path, onto: Geometry = AXIAL, **options: str) -> Bools:
    return array_of(read_mask(path, onto, **options))


# --- Slicer ---------------------------------------------------------------------------------------


SLICER = Path(__file__).parent / "slicer_files"
"""Written by slicer-core 5.13 (vtkMRMLSegmentationStorageNode), cropped to the segments."""

BOXES = {
    "Breast": np.s_[1:8, 1:15, 1:19],
    "Tumour": np.s_[3:6, 5:11, 7:14],
    "Vessel": np.s_[4:7, 8:13, 10:17],
}


def box(name: str) -> Bools:
    out = np.zeros(SIZE[::-1], bool)
    out[BOXES[name]] = True
    return out


@pytest.mark.parametrize("name", BOXES)
def test_overlapping_segments_of_slicer_lie_in_layers(name: str) -> None:
    found = read_mask(SLICER / "layers_cropped.seg.nrrd", AXIAL, segment=name)
    np.testing.assert_array_equal(array_of(found), box(name))
    assert (found.label, found.source) == (name, "Slicer segmentation")


def test_the_tumour_of_slicer_is_told_by_its_terminology() -> None:
    """The others are of type Tissue, the one asked for of type Mass."""
    found = read_mask(SLICER / "layers_cropped.seg.nrrd", AXIAL)
    np.testing.assert_array_equal(array_of(found), box("Tumour"))


def test_segments_of_slicer_that_share_a_layer_have_labels() -> None:
    path = SLICER / "one_layer.seg.nrrd"
    with pytest.raises(InputError, match="unclear which segment is the tumour: 1: Tumour, 2: Clip"):
        read(path)
    np.testing.assert_array_equal(read(path, segment="1"), box("Tumour"))
    clip = np.zeros(SIZE[::-1], bool)
    clip[7, 12:14, 3:5] = True
    np.testing.assert_array_equal(read(path, segment="Clip"), clip)


@pytest.mark.parametrize("field", ["Segment1_Layer:=1", "Segment1_LabelValue:=1"])
@pytest.mark.parametrize("value", ["7", "-1", "x", ""])
def test_a_damaged_header_of_slicer_is_one_clear_line(
    tmp_path: Path, field: str, value: str
) -> None:
    raw = (SLICER / "layers_cropped.seg.nrrd").read_bytes()
    name = field.split(":=")[0]
    path = tmp_path / "damaged.seg.nrrd"
    path.write_bytes(raw.replace(f"{field}\n".encode(), f"{name}:={value}\n".encode()))
    assert path.read_bytes() != raw
    with pytest.raises(BreastPredictError, match=r"layer|label|empty") as refused:
        read(path, segment="Tumour")
    assert "\n" not in str(refused.value)


# --- files with a place ---------------------------------------------------------------------------


@pytest.mark.parametrize("onto", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd"])
@pytest.mark.parametrize("value", [1, 255])
def test_every_format_comes_back_voxel_for_voxel(
    tmp_path: Path, suffix: str, onto: Geometry, value: int
) -> None:
    path = tmp_path / f"mask{suffix}"
    sitk.WriteImage(onto.to_image(ragged().astype(np.uint8) * value), str(path))
    np.testing.assert_array_equal(read(path, onto), ragged())


def test_a_turned_around_or_cropped_file_is_put_back_by_its_place(tmp_path: Path) -> None:
    """Axes in any order and direction, a left-handed grid among them."""
    image = OBLIQUE.to_image(ragged().astype(np.uint8))
    for order in itertools.permutations((0, 1, 2)):
        for flips in itertools.product((False, True), repeat=3):
            turned = sitk.Flip(sitk.PermuteAxes(image, order), flips)[1:, :-1, 1:]
            sitk.WriteImage(turned, str(tmp_path / "mask.nrrd"))
            np.testing.assert_array_equal(read(tmp_path / "mask.nrrd", OBLIQUE), ragged())


def rotation(b: float, c: float, d: float) -> np.ndarray:
    """The rotation of a unit quaternion (nifti1.h, method 2)."""
    a = math.sqrt(1 - b * b - c * c - d * d)
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )


@pytest.mark.parametrize("forms", ["qform", "sform", "both"])
@pytest.mark.parametrize("qfac", [1.0, -1.0], ids=["right-handed", "left-handed"])
@pytest.mark.parametrize("quaternion", [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.1, -0.2, 0.5)])
def test_nifti_transforms_are_followed(
    tmp_path: Path, forms: str, qfac: float, quaternion: tuple[float, float, float]
) -> None:
    """Every voxel inside is where the affine (RAS) says, and no other."""
    spacing, offset = np.array([0.9, 1.3, 2.6]), np.array([-12.0, 60.0, 30.0])
    affine = np.eye(4)
    affine[:3, :3] = rotation(*quaternion) @ np.diag(spacing * [1, 1, qfac])
    affine[:3, 3] = offset
    stored = ragged().transpose(2, 1, 0).astype(np.uint8)  # [x, y, z]
    path = write_nifti(
        tmp_path / "mask.nii.gz", stored, pixdim=spacing.tolist(), qfac=qfac,
        sform=affine if forms != "qform" else None,
        quaternion=quaternion if forms != "sform" else None,
        offset=offset.tolist(),
    )  # fmt: skip
    lps = np.diag([-1, -1, 1, 1]) @ affine
    axes = lps[:3, :3] / spacing
    x, y, z = lps[:3, 3].tolist()
    onto = Geometry(SIZE, (0.9, 1.3, 2.6), (x, y, z), tuple(axes.ravel().tolist()))
    np.testing.assert_array_equal(read(path, onto), ragged())


def test_nifti_in_metres_and_of_four_axes_with_one_volume(tmp_path: Path) -> None:
    affine = np.diag([-0.9, -1.3, 2.6, 1.0])
    affine[:3, 3] = [-12, 60, 30]
    stored = ragged().transpose(2, 1, 0).astype(np.uint8)
    millimetres = [0.9, 1.3, 2.6]
    path = write_nifti(
        tmp_path / "a.nii", stored[..., np.newaxis], sform=affine, pixdim=millimetres
    )
    np.testing.assert_array_equal(read(path), ragged())
    affine[:3] /= 1000
    path = write_nifti(
        tmp_path / "b.nii", stored, sform=affine, metres=True,
        pixdim=[value / 1000 for value in millimetres],
    )  # fmt: skip
    np.testing.assert_array_equal(read(path), ragged())
    joined = sitk.JoinSeries([AXIAL.to_image(ragged().astype(np.uint8))])
    sitk.WriteImage(joined, str(tmp_path / "d.nrrd"))
    np.testing.assert_array_equal(read(tmp_path / "d.nrrd"), ragged())
    two = np.stack([stored, stored], axis=-1)
    path = write_nifti(tmp_path / "c.nii", two, sform=affine, pixdim=millimetres)
    with pytest.raises(InputError, match="not three-dimensional"):
        read(path)


def test_a_sheared_grid_is_refused(tmp_path: Path) -> None:
    affine = np.diag([0.9, 1.3, 2.6, 1.0])
    affine[0, 1] = 0.4
    path = write_nifti(tmp_path / "mask.nii", np.ones((3, 4, 5), np.uint8), sform=affine)
    with pytest.raises(InputError, match="axes of the image are not perpendicular"):
        read(path)


# --- arrays without a place -----------------------------------------------------------------------


def in_order(mask: Bools, order: str) -> Bools:
    """The array of a program that counts its axes in another order and direction."""
    axes = order.replace("-", "")
    array = mask.transpose(["zyx".index(axis) for axis in axes])
    backwards = [n for n, axis in enumerate(axes) if f"-{axis}" in order]
    return np.flip(array, backwards)


def as_npy(path: Path, array: Bools) -> Path:
    np.save(path.with_suffix(".npy"), array)
    return path.with_suffix(".npy")


def as_nifti(path: Path, array: Bools) -> Path:
    """As nibabel writes an array with an identity affine."""
    return write_nifti(path.with_suffix(".nii"), array.astype(np.uint8), sform=np.eye(4))


def as_bare_nrrd(path: Path, array: Bools) -> Path:
    """As pynrrd writes an array: the first axis is the fastest, no space is stated."""
    sizes = " ".join(map(str, array.shape))
    header = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\nencoding: raw\n\n"
    data = array.astype(np.uint8).tobytes(order="F")
    path.with_suffix(".nrrd").write_bytes(header.encode() + data)
    return path.with_suffix(".nrrd")


@pytest.mark.parametrize("write", [as_npy, as_nifti, as_bare_nrrd])
def test_an_array_of_a_stated_order_comes_back_whatever_the_order(
    tmp_path: Path, write: Callable[[Path, Bools], Path]
) -> None:
    assert len(set(ORDERS)) == 48
    for order in ORDERS:
        path = write(tmp_path / "mask", in_order(ragged(), order))
        np.testing.assert_array_equal(read(path, array_order=order), ragged(), order)
        commas = ",".join(f"-{a}" if f"-{a}" in order else a for a in order.replace("-", ""))
        np.testing.assert_array_equal(read(path, array_order=commas.upper()), ragged(), order)


@pytest.mark.parametrize("write", [as_npy, as_nifti, as_bare_nrrd])
def test_without_its_order_an_array_is_refused_with_the_remedy(
    tmp_path: Path, write: Callable[[Path, Bools], Path]
) -> None:
    """Also where its shape is that of the images."""
    path = write(tmp_path / "mask", in_order(ragged(), "xyz"))
    with pytest.raises(InputError, match=r"no place in space.*--mask-order, for example zyx"):
        read(path)


def test_an_order_that_does_not_fit_is_refused_not_bent(tmp_path: Path) -> None:
    path = as_npy(tmp_path / "mask", in_order(ragged(), "zyx"))
    for order in ORDERS:
        if order.replace("-", "") != "zyx":
            with pytest.raises(InputError, match="voxels, the images have 20 × 16 × 9"):
                read(path, array_order=order)
    for order in ("", "zy", "zyy", "zyxx", "abc", "z y x w", "--zyx", "z-y-", "xyzt"):
        with pytest.raises(InputError, match="Give each of x, y, z once"):
            read(path, array_order=order)


def test_a_stated_order_over_a_place_is_to_be_checked(tmp_path: Path) -> None:
    path = tmp_path / "mask.nrrd"
    sitk.WriteImage(AXIAL.to_image(ragged().astype(np.uint8)), str(path))
    found = read_mask(path, AXIAL, array_order="xyz")
    np.testing.assert_array_equal(array_of(found), ragged())
    assert len(found.warnings) == 1 and "--mask-order overrides" in found.warnings[0]
    assert read_mask(path, AXIAL).warnings == ()
    bare = as_nifti(tmp_path / "bare", in_order(ragged(), "xyz"))
    assert read_mask(bare, AXIAL, array_order="xyz").warnings == ()


def test_on_images_without_a_place_a_mask_of_the_same_grid_needs_no_order(tmp_path: Path) -> None:
    """Loaded volumes may state their voxel size alone."""
    onto = Geometry(SIZE, (0.9, 1.3, 2.6), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    sitk.WriteImage(onto.to_image(ragged().astype(np.uint8)), str(tmp_path / "mask.nrrd"))
    np.testing.assert_array_equal(read(tmp_path / "mask.nrrd", onto), ragged())


def test_the_mask_of_i_spy_2_is_read_in_its_order(shared: Path) -> None:
    """Its file has an identity affine and its axes in the order z, y, x."""
    folder = shared / "data" / "breast_mri" / "ispy2_masks"
    path = next(folder.glob("*.nii.gz"))
    axes = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    onto = Geometry((256, 256, 80), (0.6055, 0.6055, 2.0), (-77.0, -80.0, -60.0), axes)
    with pytest.raises(InputError, match="--mask-order"):
        read(path, onto)
    found = read(path, onto, array_order="zyx")
    areas = np.count_nonzero(found, axis=(1, 2))
    assert (int(areas.sum()), int(areas.argmax()), int(areas.max())) == (42423, 38, 2380)
    with pytest.raises(InputError, match="80 × 256 × 256 voxels, the images have 256 × 256 × 80"):
        read(path, onto, array_order="xyz")


# --- labels ---------------------------------------------------------------------------------------


def test_of_several_labels_one_is_named(tmp_path: Path) -> None:
    labels = np.where(ragged(), np.random.default_rng(1).choice([2, 7], SIZE[::-1]), 0)
    sitk.WriteImage(AXIAL.to_image(labels.astype(np.int16)), str(tmp_path / "mask.nrrd"))
    with pytest.raises(InputError, match=r"unclear .*: 2: no name, 7: no name.*--segment"):
        read(tmp_path / "mask.nrrd")
    np.testing.assert_array_equal(read(tmp_path / "mask.nrrd", segment="7"), labels == 7)
    with pytest.raises(InputError, match="no segment '3'"):
        read(tmp_path / "mask.nrrd", segment="3")


@pytest.mark.parametrize("value", [0.7, math.nan, math.inf, -math.inf, "many", "complex"])
def test_what_is_no_mask_is_refused(tmp_path: Path, value: float | str) -> None:
    values = ragged().astype(np.float32)
    if value == "many":
        values = np.arange(values.size, dtype=np.float32).reshape(values.shape)
    elif value == "complex":
        values = values.astype(np.complex64)
    else:
        values[4, 5, 6] = value
    sitk.WriteImage(AXIAL.to_image(values), str(tmp_path / "mask.nrrd"))
    np.save(tmp_path / "mask.npy", values)
    for path, options in (("mask.nrrd", {}), ("mask.npy", {"array_order": "zyx"})):
        with pytest.raises(InputError, match=r"an image, not a mask|complex|no three-dimensional"):
            read(tmp_path / path, **options)


def test_an_empty_mask_is_no_tumour(tmp_path: Path) -> None:
    sitk.WriteImage(AXIAL.to_image(np.zeros(SIZE[::-1], np.uint8)), str(tmp_path / "mask.nrrd"))
    with pytest.raises(GateRefusal, match="no-tumour"):
        read(tmp_path / "mask.nrrd")


def test_colours_and_flat_pictures_are_no_mask(tmp_path: Path) -> None:
    rgb = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(rgb, str(tmp_path / "rgb.nrrd"))
    with pytest.raises(InputError, match="several values a voxel"):
        read(tmp_path / "rgb.nrrd")
    sitk.WriteImage(sitk.Image(8, 8, sitk.sitkUInt8), str(tmp_path / "flat.png"))
    with pytest.raises(InputError, match="not three-dimensional"):
        read(tmp_path / "flat.png")


# --- damage ---------------------------------------------------------------------------------------


def test_an_absurd_size_costs_nothing(tmp_path: Path) -> None:
    """Headers that state terabytes over a few bytes."""
    nrrd = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 90000 90000 900\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(nrrd.encode() + b"\0" * 100)
    nifti = bytearray(write_nifti(tmp_path / "b.nii", np.ones((2, 2, 2), np.uint8)).read_bytes())
    nifti[42:48] = b"\xff\x7f" * 3
    (tmp_path / "b.nii").write_bytes(nifti)
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress(bytes(nifti)))
    with open(tmp_path / "d.npy", "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (999, 999, 999)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"\0" * 100)
    tracemalloc.start()
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InputError, match=r"absurd|damaged"):
            read(path, array_order="zyx")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    np.save(tmp_path / "mask.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="damaged or no NumPy array"):
        read(tmp_path / "mask.npy", array_order="zyx")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["a.nrrd", "b.nii.gz", "c.seg.nrrd", "d.npy", "e.nii", "f.mha"])
def test_a_file_cut_short_is_one_clear_line(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    whole = path.read_bytes()
    packed = name in ("a.nrrd", "b.nii.gz", "c.seg.nrrd")
    for keep in (0, 1, 40, len(whole) // 2, len(whole) - 30, len(whole) - (3 if packed else 10)):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError) as refused:
            read(path, **({"array_order": "zyx"} if name.endswith("npy") else {}))
        assert "\n" not in str(refused.value)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["a.nrrd", "b.nii.gz", "c.mha", "d.mhd", "e.nhdr"]),
    where=st.floats(0, 0.999),
    bit=st.integers(0, 7),
)
def test_a_bit_that_fell_over_in_compressed_voxels_is_never_another_mask(
    tmp_path: Path, name: str, where: float, bit: int
) -> None:
    """ITK does not compare checksums."""
    path = tmp_path / name
    sitk.WriteImage(AXIAL.to_image(ragged().astype(np.uint8)), str(path), True)
    detached = [p for p in tmp_path.glob(f"{path.stem[0]}.*") if p != path]
    pixels = detached[0] if detached else path
    raw = bytearray(pixels.read_bytes())
    first = {"a.nrrd": b"\n\n", "c.mha": b"LOCAL\n"}.get(name, b"")
    assert bool(detached) == (name in ("d.mhd", "e.nhdr"))
    start = raw.index(first) + len(first) if first else 0
    raw[start + int(where * (len(raw) - start))] ^= 1 << bit
    pixels.write_bytes(raw)
    try:
        found = read(path)
    except InputError:
        return
    np.testing.assert_array_equal(found, ragged())


def written(path: Path) -> Path:
    """A good mask of the kind that the name says."""
    if path.name.endswith(".seg.nrrd"):
        path.write_bytes((SLICER / "layers_cropped.seg.nrrd").read_bytes())
    elif path.suffix == ".npy":
        np.save(path, ragged())
    else:
        sitk.WriteImage(
            AXIAL.to_image(ragged().astype(np.uint8)), str(path), path.suffix == ".nrrd"
        )
    return path


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["a.nrrd", "b.nii.gz", "c.seg.nrrd", "d.npy", "e.nii", "f.mha"]),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_bytes_give_a_mask_or_one_clear_line(
    tmp_path: Path, name: str, places: list[tuple[float, int]]
) -> None:
    raw = bytearray(written(tmp_path / name).read_bytes())
    header = {"d.npy": 128, "e.nii": 352}.get(name, len(raw))
    for where, value in places:
        raw[int(where * header)] = value
    (tmp_path / name).write_bytes(raw)
    try:
        read(tmp_path / name, **({"array_order": "zyx"} if name.endswith("npy") else {}))
    except BreastPredictError as error:
        assert "\n" not in str(error)
