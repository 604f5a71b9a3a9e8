"""The sound inputs that the mutation run damages: small studies of every layout, with a mask.

Every byte of them is the same in every run, so that a kind and a seed tell a damaged case.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.fileset import FileSet

sys.path.append(str(Path(__file__).resolve().parents[1] / "Python"))

from dce_volumes import dce, files_below, only
from mask_objects import LESION, write_seg, write_structures
from nifti_files import write_nifti
from vendor_variants import DEFLATED, IMPLICIT, JPEG_LS, RLE, compress, save

from breastpredict.dicom import Phase, read_study
from breastpredict.phantom import write_dce
from breastpredict.phantom.mr_study import hashed_uid

SIZE = (24, 24, 6)
TIMES = (-60.0, 30.0, 120.0, 210.0, 300.0, 390.0)
BOX = (slice(1, 5), slice(6, 15), slice(8, 18))
PLACE = {"spacing": (0.75, 1.25, 2.5), "origin": (12.0, -60.0, 30.0)}  # exact in single precision


@dataclass(frozen=True)
class Base:
    """A sound input in a folder of its own.

    Attributes:
        name: of the folder.
        study: what is read as the study, relative to the folder.
        mask: the mask's file, relative to the folder.
        order: the order of the mask's axes, where it has no place in space.
    """

    name: str
    study: str
    mask: str
    order: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def make_bases(folder: Path) -> list[Base]:
    """Every base below a folder."""
    return [make(folder / name) for name, make in _BASES.items()]


def _dicom(folder: Path, layout: str, change: Callable[[Dataset], object] | None = None) -> Path:
    write_dce(
        folder / "study",
        dce(len(TIMES), size=SIZE, lesion=BOX, **PLACE),
        layout=layout,  # type: ignore[arg-type]
        times_s=TIMES,
    )
    if change is not None:
        for file in files_below(folder / "study"):
            data = pydicom.dcmread(file)
            change(data)
            save(data, file, str(data.file_meta.TransferSyntaxUID))
    return folder / "study"


def _lesion() -> np.ndarray:
    inside = np.zeros(SIZE[::-1], np.uint8)
    inside[BOX] = 1
    return inside


def _first(study: Path) -> tuple[Phase, list[Dataset]]:
    phase = only(read_study(study)).phases[0]
    paths = dict.fromkeys(instance.path for instance in phase.instances)
    return phase, [pydicom.dcmread(path) for path in paths]


def _fixed(path: Path, names: str) -> None:
    """The object with the UIDs and dates that its writer drew replaced by ever the same ones."""
    data = pydicom.dcmread(path)
    kept = {str(uid) for uid in names.split()}
    new: dict[str, str] = {}
    for element in [*data.file_meta, *data.iterall()]:
        if element.VR == "UI" and isinstance(element.value, str):
            uid = str(element.value)
            if len(uid) > 30 and uid not in kept:
                element.value = new.setdefault(uid, str(hashed_uid(f"mask/{len(new)}")))
        elif element.VR == "DT":
            element.value = "20200102100000"
        elif element.VR in ("DA", "TM") and element.tag.group == 8 and element.value:
            element.value = "20200102" if element.VR == "DA" else "100000"
    data.save_as(path, enforce_file_format=True)


def _kept(images: list[Dataset]) -> str:
    return " ".join(
        str(element.value)
        for image in images
        for element in [*image.file_meta, *image.iterall()]
        if element.VR == "UI"
    )


def _seg(folder: Path, study: Path, kind: str = "BINARY") -> str:
    phase, images = _first(study)
    inside = _lesion()
    if phase.instances[0].frame is not None:  # of an Enhanced file highdicom wants all its frames
        inside = np.tile(inside, (int(images[0].NumberOfFrames) // len(inside), 1, 1))
        inside[SIZE[2] :] = 0
    write_seg(folder / "mask.dcm", images, inside.astype(bool), kind)
    _fixed(folder / "mask.dcm", _kept(images))
    return "mask.dcm"


def _structures(folder: Path, study: Path) -> str:
    phase, images = _first(study)
    _, rows, columns = BOX
    contours = []
    for k in range(BOX[0].start, BOX[0].stop):
        ring = [
            (i, j, k)
            for i, j in (
                (columns.start - 0.5, rows.start - 0.5),
                (columns.stop - 0.5, rows.start - 0.5),
                (columns.stop - 0.5, rows.stop - 0.5),
                (columns.start - 0.5, rows.stop - 0.5),
            )
        ]
        contours.append(phase.geometry.index_to_physical(np.array(ring, float)))
    write_structures(
        folder / "mask.dcm", images, [{"contours": contours, "name": "GTV", "code": LESION}]
    )
    _fixed(folder / "mask.dcm", _kept(images))
    return "mask.dcm"


def _image(folder: Path, name: str, *, packed: bool = True) -> str:
    """The lesion on the grid of the volumes, by SimpleITK."""
    image = sitk.GetImageFromArray(_lesion())
    image.SetSpacing(PLACE["spacing"])
    image.SetOrigin(PLACE["origin"])
    if ".seg." in name:
        for key, value in {"ID": "S1", "Name": "Lesion", "LabelValue": "1", "Layer": "0"}.items():
            image.SetMetaData(f"Segment0_{key}", value)
    sitk.WriteImage(image, str(folder / name), packed)
    return name


_AFFINE = np.diag([-0.75, -1.25, 2.5, 1.0])
_AFFINE[:3, 3] = [-12, 60, 30]


def _nifti_mask(folder: Path, name: str) -> str:
    write_nifti(folder / name, _lesion().transpose(2, 1, 0), sform=_AFFINE, pixdim=PLACE["spacing"])
    return name


def _array(folder: Path, _: Path) -> str:
    np.save(folder / "mask.npy", _lesion())
    return "mask.npy"


def _loaded(folder: Path, kind: str) -> Path:
    """A table of volumes, in files of their own or along a fourth axis."""
    (folder / "study").mkdir(parents=True)
    volumes = dce(len(TIMES), size=SIZE, lesion=BOX, **PLACE)
    rows = ["file,frame,role,time_s"]
    stacked = np.stack([sitk.GetArrayFromImage(v).transpose(2, 1, 0) for v in volumes], axis=-1)
    if kind == "4d.nii":
        write_nifti(
            folder / "study/all.nii",
            stacked.astype(np.int16),
            sform=_AFFINE,
            pixdim=PLACE["spacing"],
        )
    for n, (volume, time) in enumerate(zip(volumes, TIMES, strict=True)):
        name, frame = f"phase{n}{kind}", ""
        if kind == "4d.nii":
            name, frame = "all.nii", str(n + 1)
        elif kind == ".nii.gz":
            pixels = stacked[..., n].astype(np.int16)
            write_nifti(folder / "study" / name, pixels, sform=_AFFINE, pixdim=PLACE["spacing"])
        else:
            sitk.WriteImage(volume, str(folder / "study" / name), kind == ".nrrd")
        rows.append(f"{name},{frame},{'pre' if time < 0 else 'post'},{time + 45:g}")
    (folder / "study/phases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "study/phases.csv"


def _zip(folder: Path, study: Path) -> str:
    with zipfile.ZipFile(folder / "study.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for path in files_below(study):
            info = zipfile.ZipInfo(f"PAT/{path.relative_to(study)}", (2020, 1, 2, 10, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, path.read_bytes())
    shutil.rmtree(study)
    return "study.zip"


def _medium(folder: Path, study: Path) -> str:
    files = FileSet()
    for path in files_below(study):
        files.add(path)
    files.UID = hashed_uid("medium")  # type: ignore[assignment]
    files.write(folder / "medium")
    shutil.rmtree(study)
    return "medium/DICOMDIR"


def _database(folder: Path, study: Path) -> str:
    """As Slicer keeps its files, as far as they are looked up (CTK, dicom-schema.sql)."""
    root = folder / "slicer"
    (root / "dicom").mkdir(parents=True)
    with closing(sqlite3.connect(root / "ctkDICOM.sql")) as ctk:
        ctk.executescript(
            "CREATE TABLE 'Images' ('SOPInstanceUID' VARCHAR(64) NOT NULL PRIMARY KEY, "
            "'Filename' VARCHAR(1024), 'SeriesInstanceUID' VARCHAR(64) NOT NULL, "
            "'InsertTimestamp' VARCHAR(20) NOT NULL);"
            "CREATE TABLE 'Series' ('SeriesInstanceUID' VARCHAR(64) NOT NULL PRIMARY KEY, "
            "'StudyInstanceUID' VARCHAR(64) NOT NULL, 'Modality' VARCHAR(20));"
        )
        for number, path in enumerate(files_below(study)):
            data = pydicom.dcmread(path, stop_before_pixels=True)
            name = f"dicom/{number:04d}"
            path.rename(root / name)
            row = (str(data.SOPInstanceUID), name, str(data.SeriesInstanceUID))
            ctk.execute("INSERT INTO Images VALUES (?, ?, ?, '')", row)
            ctk.execute(
                "INSERT OR IGNORE INTO Series VALUES (?, ?, 'MR')",
                (str(data.SeriesInstanceUID), str(data.StudyInstanceUID)),
            )
        ctk.commit()
    shutil.rmtree(study)
    return "slicer"


Masks = Callable[[Path, Path], str]


def _folder(layout: str, mask: Masks, change: Callable[[Dataset], object] | None = None):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> Base:
        study = _dicom(folder, layout, change)
        return Base(folder.name, "study", mask(folder, study), _order(mask))

    return make


def _packed(layout: str, mask: Masks, pack: Masks):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> Base:
        study = _dicom(folder, layout)
        name = mask(folder, study)
        return Base(folder.name, pack(folder, study), name, _order(mask))

    return make


def _volumes(kind: str, mask: Masks):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> Base:
        table = _loaded(folder, kind)
        return Base(folder.name, "study/phases.csv", mask(folder, table), _order(mask))

    return make


def _order(mask: Masks) -> str | None:
    return "zyx" if mask is _array else None


def _in(syntax: str) -> Callable[[Dataset], object]:
    def change(data: Dataset) -> None:
        if syntax in (JPEG_LS, RLE):
            compress(data, syntax, Path())
        else:
            data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)

    return change


_BASES: dict[str, Callable[[Path], Base]] = {
    "siemens-seg": _folder("siemens", _seg),
    "ge-rtstruct": _folder("ge", _structures),
    "philips-nrrd": _folder("philips", lambda f, _: _image(f, "mask.nrrd")),
    "implicit-labelmap": _folder("philips", lambda f, s: _seg(f, s, "LABELMAP"), _in(IMPLICIT)),
    "deflated-seg": _folder("siemens", _seg, _in(DEFLATED)),
    "jpegls-nifti": _folder("siemens", lambda f, _: _nifti_mask(f, "mask.nii"), _in(JPEG_LS)),
    "rle-npy": _folder("ge", _array, _in(RLE)),
    "enhanced-seg-nrrd": _folder("enhanced", lambda f, _: _image(f, "mask.seg.nrrd")),
    "enhanced-rtstruct": _folder("enhanced", _structures),
    "per-phase-nrrd": _folder(
        "enhanced-per-phase", lambda f, _: _image(f, "mask.nrrd", packed=False)
    ),
    "nrrd-nifti": _volumes(".nrrd", lambda f, _: _nifti_mask(f, "mask.nii.gz")),
    "nifti-npy": _volumes(".nii.gz", _array),
    "4d-nrrd": _volumes("4d.nii", lambda f, _: _image(f, "mask.nrrd", packed=False)),
    "mha-seg-nrrd": _volumes(".mha", lambda f, _: _image(f, "mask.seg.nrrd")),
    "zip-seg": _packed("siemens", _seg, _zip),
    "dicomdir-rtstruct": _packed("philips", _structures, _medium),
    "slicer-nifti": _packed("siemens", lambda f, _: _nifti_mask(f, "mask.nii.gz"), _database),
}
