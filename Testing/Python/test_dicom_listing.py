"""A zip archive, a DICOMDIR, a Slicer database, a single file: each is read like the folder of the
same files, within bounds, and nothing leads out of what was given."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import shutil
import sqlite3
import stat
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from cli_runs import command, make_mask, make_study, process
from dce_volumes import TIMES, dce, files_below, only
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.fileset import FileSet

from breastpredict.dicom import archive, index_folder, inspect_folder, listing, read_study
from breastpredict.dicom.index import source_files
from breastpredict.dicom.listing import list_files
from breastpredict.errors import InputError
from breastpredict.her2 import prepare_case
from breastpredict.phantom import write_dce
from breastpredict.study import read_cohort

Capture = pytest.CaptureFixture[str]
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder, not to be changed, and a mask beside it."""
    root = tmp_path_factory.mktemp("original")
    make_study(root / "study")
    make_mask(root / "mask.dcm", root / "study")
    return root / "study"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, so that they can be looked for."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zipped(path: Path, files: dict[str, Path | bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as out:
        for name, content in files.items():
            out.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return path


def members(study: Path) -> dict[str, Path | bytes]:
    return {f"PAT/{path.relative_to(study)}": path for path in files_below(study)}


def dicomdir(folder: Path, study: Path) -> Path:
    """The study as a medium with a DICOMDIR (PS3.10), written by pydicom."""
    files = FileSet()
    for path in files_below(study):
        files.add(path)
    files.write(folder)
    return folder / "DICOMDIR"


CTK_TABLES = """
CREATE TABLE 'SchemaInfo' ('Version' VARCHAR(1024) NOT NULL);
INSERT INTO 'SchemaInfo' VALUES ('0.8.1');
CREATE TABLE 'Images' ('SOPInstanceUID' VARCHAR(64) NOT NULL PRIMARY KEY, 'Filename' VARCHAR(1024),
  'SeriesInstanceUID' VARCHAR(64) NOT NULL, 'InsertTimestamp' VARCHAR(20) NOT NULL);
CREATE TABLE 'Series' ('SeriesInstanceUID' VARCHAR(64) NOT NULL PRIMARY KEY,
  'StudyInstanceUID' VARCHAR(64) NOT NULL, 'Modality' VARCHAR(20));
CREATE TABLE 'Studies' ('StudyInstanceUID' VARCHAR(64) NOT NULL PRIMARY KEY, 'PatientsUID' INT);
CREATE TABLE 'Patients' ('UID' INTEGER PRIMARY KEY AUTOINCREMENT, 'PatientID' VARCHAR(255));
"""
"""As far as files are looked up by them (CTK, dicom-schema.sql)."""


def database(folder: Path, copied: Sequence[Path] = (), linked: Sequence[Path] = ()) -> Path:
    """A Slicer DICOM database with studies copied into its folder, and others linked."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "ctkDICOM.sql")) as ctk:
        ctk.executescript(CTK_TABLES)
        for study in (*copied, *linked):
            for path in files_below(study):
                data = pydicom.dcmread(path, stop_before_pixels=True)
                name = str(path.absolute())
                if study in copied:
                    series, instance = data.SeriesInstanceUID, data.SOPInstanceUID
                    name = f"dicom/{data.StudyInstanceUID}/{series}/{instance}"
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, folder / name)
                ctk.execute(
                    "INSERT INTO Images VALUES (?, ?, ?, '')",
                    (data.SOPInstanceUID, name, data.SeriesInstanceUID),
                )
                ctk.execute(
                    "INSERT OR IGNORE INTO Series VALUES (?, ?, ?)",
                    (data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality),
                )
                ctk.execute("INSERT OR IGNORE INTO Studies VALUES (?, 1)", (data.StudyInstanceUID,))
        ctk.execute("INSERT INTO Patients (PatientID) VALUES ('P')")
        ctk.commit()
    (folder / "stray.dcm").write_bytes(b"not in the index")
    return folder


INPUTS: dict[str, Callable[[Path, Path], Path]] = {
    "zip archive": lambda folder, study: zipped(folder / "study.zip", members(study)),
    "stored zip archive": lambda folder, study: zipped(
        folder / "EXPORT", members(study), zipfile.ZIP_STORED
    ),
    "DICOMDIR": lambda folder, study: dicomdir(folder / "medium", study),
    "Slicer DICOM database": lambda folder, study: database(folder / "slicer", copied=[study]),
    "linked Slicer DICOM database": lambda folder, study: database(
        folder / "slicer", linked=[study]
    ),
    "database file": lambda folder, study: (
        database(folder / "slicer", copied=[study]) / "ctkDICOM.sql"
    ),
}


# --- the same as the folder -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", INPUTS)
def test_it_is_read_like_the_folder_of_the_same_files(
    original: Path, tmp_path: Path, kind: str
) -> None:
    given = INPUTS[kind](tmp_path, original)
    mine, folder = (inspect_folder(path)["studies"] for path in (given, original))
    assert mine[0].pop("source") in kind.replace("database file", "Slicer DICOM database")
    assert folder[0].pop("source") == "folder"
    assert mine == folder
    cases = [
        prepare_case(path, image_size=48, segmentation=original.parent / "mask.dcm")
        for path in (given, original)
    ]
    np.testing.assert_array_equal(cases[0].image, cases[1].image)
    assert cases[0].features == cases[1].features


@pytest.mark.parametrize("kind", ["zip archive", "DICOMDIR", "Slicer DICOM database"])
def test_inspect_and_predict_go_all_the_way(
    original: Path, tmp_path: Path, temporary: Path, tiny_run: Path, capfd: Capture, kind: str
) -> None:
    """DICOM results refer to the instances; nothing stays behind."""
    given = INPUTS[kind](tmp_path, original)
    text = command(capfd, "inspect", given)
    assert (text.code, text.err) == (0, "")
    assert f"from a {kind}" in text.out
    results = []
    for name, path in (("a", given), ("b", original)):
        ended = command(
            capfd, "her2", "predict", path, "--model", tiny_run, "--out", tmp_path / name,
            "--segmentation", original.parent / "mask.dcm",
        )  # fmt: skip
        assert ended.code == 0, ended.err
        results.append(next((tmp_path / name).glob("*/result.json")).parent)
    mine, folder = (json.loads((path / "result.json").read_text()) for path in results)
    assert (mine["source"], folder["source"]) == (kind, "folder")
    for name in ("scores", "probabilities", "slice_index", "roi", "phases", "warnings"):
        assert mine[name] == folder[name]
    referred = [
        {
            instance.ReferencedSOPInstanceUID
            for series in pydicom.dcmread(path / "segmentation.dcm").ReferencedSeriesSequence
            for instance in series.ReferencedInstanceSequence
        }
        for path in results
    ]
    assert referred[0] == referred[1] and referred[0]
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_a_single_file_of_all_phases_is_a_study(tmp_path: Path) -> None:
    write_dce(tmp_path / "study", dce(3), layout="enhanced", times_s=TIMES[:3])
    [file] = files_below(tmp_path / "study")
    study = read_study(file)
    assert study.source == "file" and len(only(study).phases) == 3


def test_what_is_no_file_and_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder or file"):
        read_study(tmp_path / "x")
    os.mkfifo(tmp_path / "x")  # to open it would wait for ever
    ended = process("inspect", tmp_path / "x")
    assert ended.code == 2 and "neither a file nor a folder" in ended.line


def test_links_are_not_followed_and_that_is_said(original: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "study"))
    other = make_study(tmp_path / "other", "SOMEONE-ELSE", seed=3)
    (folder / "out").symlink_to(other)
    (folder / "loop").symlink_to(folder)
    (folder / "file").symlink_to(files_below(other)[0])
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    study = read_study(folder)
    assert study.notes == ("4 symbolic links were not followed",)
    assert len(only(study).phases) == 3
    (tmp_path / "link").symlink_to(folder)  # what the user gives is what is meant
    assert len(only(read_study(tmp_path / "link")).phases) == 3


def test_folders_without_end_are_refused(original: Path, tmp_path: Path) -> None:
    deep = tmp_path.joinpath("study", *["d"] * 70)
    deep.mkdir(parents=True)
    shutil.copy(files_below(original)[0], deep)
    with pytest.raises(InputError, match="nested more than 64 deep"):
        read_study(tmp_path / "study")


# --- zip ------------------------------------------------------------------------------------------


def test_an_archive_as_portals_export_it(original: Path, tmp_path: Path) -> None:
    """Viewers, a DICOMDIR, folders of a Macintosh and other archives among the images."""
    files = members(original)
    extra: dict[str, Path | bytes] = {
        "DICOMDIR": dicomdir(tmp_path / "medium", original),
        "VIEWER/viewer.exe": b"MZ" + bytes(4000),
        "__MACOSX/PAT/._a": b"\0\5\x16\7" * 9,
        "empty": b"",
        "autorun.inf": b"[autorun]",
        "PAT/inner.zip": zipped(tmp_path / "inner.zip", {"a": b"x"}),
    }
    study = read_study(zipped(tmp_path / "export.zip", {**extra, **files}))
    assert len(only(study).phases) == 3
    assert study.notes == (
        "4 files of the archive are not DICOM",
        "1 zip archives within the archive were not opened",
    )


def test_no_name_in_an_archive_leads_out_of_it(
    original: Path, tmp_path: Path, temporary: Path
) -> None:
    names = [
        "../../up.dcm",
        "/absolute.dcm",
        "C:\\drive.dcm",
        "C:/drive.dcm",
        "..\\..\\back.dcm",
        "\\\\server\\share\\x.dcm",
        "a/../../../x.dcm",
        "x" * 300,
        "~/home.dcm",
        "nul\0.dcm",
        "twice",
        "TWICE",
        "con",
    ]
    files = files_below(original)
    hostile = dict(zip(names, files, strict=False))
    rest = {f"ok/{n}": path for n, path in enumerate(files[len(names) :])}
    path = zipped(tmp_path / "hostile.zip", {**hostile, **rest})
    with zipfile.ZipFile(path, "a") as out:  # links into the system, and one name again
        for name, target in (("link.dcm", "/etc/passwd"), ("dir", "/")):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            out.writestr(info, target)
        with pytest.warns(UserWarning, match="Duplicate name"):
            out.writestr("twice", files[0].read_bytes())
    before = {p for p in tmp_path.rglob("*") if not p.is_relative_to(temporary)}
    study = read_study(path)
    assert len(only(study).phases) == 3
    assert {p for p in tmp_path.rglob("*") if not p.is_relative_to(temporary)} == before
    unpacked = [p for p in temporary.rglob("*") if not p.is_dir()]
    assert len(unpacked) == len(files) + 1
    assert all(p.name.isdigit() and not p.is_symlink() for p in unpacked)


def test_unpacked_files_are_private_and_go_with_the_study(
    original: Path, tmp_path: Path, temporary: Path
) -> None:
    path = INPUTS["zip archive"](tmp_path, original)
    study = read_study(path)
    [folder] = temporary.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert np.isfinite(sitk.GetArrayFromImage(only(study).phases[0].read())).all()
    del study
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_unpacked_files_go_when_the_program_ends(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = INPUTS["zip archive"](tmp_path, original)
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "own"))
    assert process("inspect", path).code == 0
    assert list((tmp_path / "own").iterdir()) == []


def bomb(path: Path) -> Path:
    """A hundred megabytes of nought in a hundred kilobytes."""
    return zipped(path, {f"{n}.dcm": bytes(11 * 2**20) for n in range(10)})


def many(path: Path) -> Path:
    return zipped(path, {f"{n}": b"" for n in range(50)})


def encrypted(path: Path) -> Path:
    """As its directory says (a password is asked for by the first bit of the flags)."""
    raw = bytearray(zipped(path, {"a.dcm": b"x" * 300}).read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    return path


def deflate64(path: Path) -> Path:
    """As Windows packs what is larger than 2 GB."""
    raw = bytearray(zipped(path, {"a.dcm": b"x" * 300}).read_bytes())
    raw[8], raw[raw.index(b"PK\1\2") + 10] = 9, 9
    path.write_bytes(raw)
    return path


def lzma(path: Path) -> Path:
    """Of this, Python unpacks all of a piece at once, however much it makes."""
    return zipped(path, {"a.dcm": bytes(2**20)}, zipfile.ZIP_LZMA)


def truncated(path: Path) -> Path:
    raw = zipped(path, {f"{n}.dcm": os.urandom(5000) for n in range(4)}).read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    return path


def no_checksum(path: Path) -> Path:
    content = bytes(128) + b"DICM" + os.urandom(4000)
    raw = bytearray(zipped(path, {"a.dcm": content}, zipfile.ZIP_STORED).read_bytes())
    raw[2000] ^= 255
    path.write_bytes(raw)
    return path


def bad_deflate(path: Path) -> Path:
    content = bytes(128) + b"DICM" + os.urandom(4000)
    raw = bytearray(zipped(path, {"a.dcm": content}).read_bytes())
    raw[60:90] = b"\xff" * 30
    path.write_bytes(raw)
    return path


def lying(path: Path) -> Path:
    """More than its directory says: 300 bytes that unpack to 64 MB."""
    deflate = zlib.compressobj(9, wbits=-15)
    packed = deflate.compress(bytes(128) + b"DICM" + bytes(64 * 2**20)) + deflate.flush()
    head = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(packed), 300, 5, 0)
    local = b"PK\3\4" + head + b"a.dcm" + packed
    central = b"PK\1\2" + struct.pack("<H", 20) + head + struct.pack("<HHHII", 0, 0, 0, 0, 0)
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central) + 5, len(local), 0)
    path.write_bytes(local + central + b"a.dcm" + b"PK\5\6" + end)
    return path


ARCHIVES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a bomb": (bomb, r"would unpack to \d+ times its size.*does not look like an examination"),
    "too many files": (many, "holds 50 files .*more than an examination has"),
    "encrypted": (encrypted, "is encrypted.*Unpack it"),
    "Deflate64": (deflate64, "packed by Deflate64; only deflate is opened here.*Unpack it"),
    "LZMA": (lzma, "packed by LZMA"),
    "truncated": (truncated, "archive is damaged.*again"),
    "a wrong checksum": (no_checksum, "archive is damaged"),
    "damaged within": (bad_deflate, "archive is damaged"),
    "more than it says": (lying, "archive is damaged"),
    "empty": (lambda path: zipped(path, {}), "There is no DICOM file here|folder is empty"),
    "nothing of use": (lambda path: zipped(path, {"a": b"b"}), "no DICOM file here .1 files of"),
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_an_archive_that_cannot_be_used_is_said_and_leaves_nothing(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    write, said = ARCHIVES[what]
    monkeypatch.setattr(archive, "ARCHIVE_FILES", 40)
    with pytest.raises(InputError, match=said) as refused:
        read_study(write(tmp_path / "study.zip"))
    assert "\n" not in str(refused.value)
    if what not in ("empty", "nothing of use"):  # those were opened, and go with the listing
        assert list(temporary.iterdir()) == []
    del refused
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_an_archive_larger_than_an_examination_or_the_disk_is_refused(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = INPUTS["zip archive"](tmp_path, original)
    monkeypatch.setattr(archive, "ARCHIVE_BYTES", 10_000)
    with pytest.raises(InputError, match="more than an examination has"):
        read_study(path)
    monkeypatch.undo()
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"the temporary folder has 0.0 GiB left.*TMPDIR"):
        read_study(path)


def test_pixels_that_look_like_the_end_of_an_archive_are_no_archive(tmp_path: Path) -> None:
    write_dce(tmp_path / "study", dce(3), layout="enhanced", times_s=TIMES[:3])
    [file] = files_below(tmp_path / "study")
    raw = bytearray(file.read_bytes())
    raw[-400:-378] = b"PK\5\6" + bytes(18)
    file.write_bytes(raw)
    assert zipfile.is_zipfile(file)
    assert read_study(file).source == "file"


def test_an_archive_within_a_folder_is_noted(original: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "study"))
    zipped(folder / "more.ZIP", members(original))
    [note] = read_study(folder).notes
    assert note.startswith("1 zip archives in the folder were not opened")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=5))
def test_damaged_archives_are_read_or_said(
    original: Path, tmp_path: Path, places: list[tuple[float, int]]
) -> None:
    path = tmp_path / "study.zip"
    raw = bytearray(zipped(path, members(original)).read_bytes())
    directory = raw.index(b"PK\1\2")  # the rest has a checksum
    for where, value in places:
        raw[directory + int(where * (len(raw) - directory))] = value
    path.write_bytes(raw)
    try:
        read_study(path)
    except InputError as error:
        assert "\n" not in str(error)


# --- DICOMDIR -------------------------------------------------------------------------------------


def test_the_dicomdir_of_pydicom_is_listed_as_its_own_reader_does() -> None:
    path = Path(str(get_testdata_file("DICOMDIR")))
    theirs = {Path(str(instance.path)) for instance in FileSet(path)}
    found = list_files(path)
    assert found.kind == "DICOMDIR" and set(found.paths) == theirs and len(theirs) == 31


def test_what_a_dicomdir_names_and_is_not_there_is_noted(original: Path, tmp_path: Path) -> None:
    path = dicomdir(tmp_path / "medium", original)
    for file in list_files(path).paths[:9]:  # the first phase, perhaps
        file.unlink()
    study = read_study(path)
    assert study.notes == ("9 files that the DICOMDIR names are not there",)
    shutil.rmtree(next(p for p in path.parent.iterdir() if p.is_dir()))
    with pytest.raises(InputError, match=r"no DICOM file here .*DICOMDIR names are not there"):
        read_study(path)


def test_a_medium_copied_to_lower_case_is_found(original: Path, tmp_path: Path) -> None:
    path = dicomdir(tmp_path / "medium", original)
    lower = tmp_path / "lower"
    for file in files_below(path.parent):
        to = lower / str(file.relative_to(path.parent)).lower()
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)
    study = read_study(lower / "dicomdir")
    assert (study.source, study.notes) == ("DICOMDIR", ())
    assert len(only(study).phases) == 3


def renamed(path: Path, names: Sequence[object]) -> Path:
    """The DICOMDIR with other names for its first files."""
    data = pydicom.dcmread(path)
    records = [r for r in data.DirectoryRecordSequence if "ReferencedFileID" in r]
    for record, name in zip(records, names, strict=False):
        record.ReferencedFileID = name
    data.save_as(path)
    return path


@pytest.mark.filterwarnings("ignore")
def test_no_name_in_a_dicomdir_leads_out_of_its_folder(original: Path, tmp_path: Path) -> None:
    path = dicomdir(tmp_path / "medium", original)
    outside = tmp_path / "OUT"
    shutil.copy(files_below(original)[0], outside)
    (path.parent / "LINK").symlink_to(tmp_path)
    names = [["..", "OUT"], str(outside), ["..\\OUT"], ["PT", "..", "..", "OUT"], ["LINK", "OUT"],
             "C:OUT", [".", "DICOMDIR"]]  # fmt: skip
    found = list_files(renamed(path, names))
    assert found.notes == ("7 files that the DICOMDIR names lie outside of its folder",)
    assert all(file.resolve().is_relative_to(path.parent) for file in found.paths)
    assert outside not in [file.resolve() for file in found.paths]


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_dicomdir_is_said(original: Path, tmp_path: Path) -> None:
    path = dicomdir(tmp_path / "medium", original)
    raw = path.read_bytes()
    path.write_bytes(raw[:400])
    with pytest.raises(InputError, match=r"DICOMDIR is damaged.*Give the folder it lies in"):
        read_study(path)
    rng = random.Random(5)
    for _ in range(40):
        broken = bytearray(raw)
        for _ in range(5):
            broken[rng.randrange(300, len(raw))] = rng.randrange(256)
        path.write_bytes(broken)
        try:
            list_files(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_a_folder_with_a_dicomdir_is_a_folder(original: Path, tmp_path: Path) -> None:
    """Files that its DICOMDIR does not name count, too."""
    path = dicomdir(tmp_path / "medium", original)
    study = read_study(path.parent)
    assert study.source == "folder" and len(only(study).phases) == 3
    assert study.ignored_files == 0


def test_the_files_of_a_dicomdir_tell_whether_a_study_changed(
    original: Path, tmp_path: Path
) -> None:
    path = dicomdir(tmp_path / "medium", original)
    assert set(source_files(path)) >= set(list_files(path).paths)
    archive_path = INPUTS["zip archive"](tmp_path, original)
    assert source_files(archive_path) == (archive_path,)


# --- a database of Slicer -------------------------------------------------------------------------


@pytest.fixture
def two(original: Path, tmp_path: Path) -> Path:
    """A database of two patients, one copied and one linked."""
    other = make_study(tmp_path / "other", "SOMEONE-ELSE", seed=3)
    return database(tmp_path / "slicer", copied=[original], linked=[other])


def test_of_several_patients_the_study_is_named(
    original: Path, two: Path, tiny_run: Path, tmp_path: Path, capfd: Capture
) -> None:
    with pytest.raises(InputError, match=r"2 patients.*--study-uid"):
        read_study(two)
    assert len(index_folder(two)) == 2
    uid = read_study(original).study_uid
    assert read_study(two, study_uid=uid).study_uid == uid
    assert len(list_files(two, study_uid=uid).paths) == len(files_below(original))
    with pytest.raises(InputError, match="study asked for is not"):
        read_study(two, study_uid="1.2.3")
    words = ("--model", tiny_run, "--out", tmp_path / "out")
    mask = ("--segmentation", original.parent / "mask.dcm")
    assert command(capfd, "her2", "predict", two, *words, *mask).code == 2
    ended = command(capfd, "her2", "predict", two, *words, *mask, "--study-uid", uid)
    assert ended.code == 0, ended.err


def test_a_cohort_may_name_studies_of_one_database(
    original: Path, two: Path, tmp_path: Path
) -> None:
    uid = read_study(original).study_uid
    mask = original.parent / "mask.dcm"
    (tmp_path / "COHORT.csv").write_text(
        "patient_id,cohort,split,study,segmentation,ihc,ish,study_uid\n"
        f"P1,SITE,,{two},{mask},3+,,{uid}\n"
    )
    [case] = read_cohort(tmp_path / "COHORT.csv")
    prepared = prepare_case(
        case.study, image_size=32, segmentation=case.segmentation, **case.reading
    )
    assert prepared.study.study_uid == uid


def test_files_that_are_gone_or_outside_are_noted(
    original: Path, tmp_path: Path, two: Path
) -> None:
    secret = tmp_path / "secret.dcm"
    shutil.copy(files_below(original)[0], secret)
    with closing(sqlite3.connect(two / "ctkDICOM.sql")) as ctk:
        for n, name in enumerate(("../secret.dcm", "dicom/../../secret.dcm", "", None, "a\0b")):
            ctk.execute("INSERT INTO Images VALUES (?, ?, '1.2', '')", (f"9.{n}", name))
        ctk.commit()
    files_below(two / "dicom")[0].unlink()
    found = list_files(two)
    assert found.notes == (
        "2 files of the database are not there any more",
        "2 files of the database lie outside of its folder",
    )
    assert secret not in [path.resolve() for path in found.paths]


def test_the_database_is_not_touched(two: Path) -> None:
    def state() -> list[tuple[str, str]]:
        return [
            (str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files_below(two)
        ]

    before = state()
    index_folder(two)
    assert state() == before


def locked(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "ctkDICOM.sql", isolation_level=None)) as ctk:
        ctk.execute("BEGIN EXCLUSIVE")
        yield


def damaged(folder: Path) -> Iterator[None]:
    path = folder / "ctkDICOM.sql"
    path.write_bytes(path.read_bytes()[:100] + os.urandom(5000))
    yield


def no_database(folder: Path) -> Iterator[None]:
    (folder / "ctkDICOM.sql").write_text("text")
    yield


def other_tables(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "ctkDICOM.sql")) as ctk:
        ctk.execute("DROP TABLE Images")
        ctk.commit()
    yield


def without_end(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "ctkDICOM.sql")) as ctk:
        ctk.execute("DROP TABLE Images")
        ctk.execute(
            "CREATE VIEW Images AS WITH RECURSIVE n(Filename) AS "
            "(SELECT 1 UNION ALL SELECT Filename + 1 FROM n WHERE Filename < 40000000) "
            "SELECT Filename FROM n WHERE Filename < 0"
        )
        ctk.commit()
    yield


@pytest.mark.parametrize("how", [locked, damaged, no_database, other_tables, without_end])
def test_a_database_that_cannot_be_read_is_said_in_time(
    two: Path, monkeypatch: pytest.MonkeyPatch, how: Callable[[Path], Iterator[None]]
) -> None:
    monkeypatch.setattr(listing, "_LOCKED_S", 0.2)
    monkeypatch.setattr(listing, "_QUERY_S", 0.5)
    holding = how(two)
    next(holding)
    start = time.monotonic()
    with pytest.raises(InputError, match=r"Slicer DICOM database cannot be read.*Close Slicer"):
        read_study(two)
    assert time.monotonic() - start < 5
    del holding


def test_permission_is_asked_for_not_passed_over(two: Path) -> None:
    """In its own process, without root's rights."""
    before: list[str] = []
    if os.geteuid() == 0:
        before = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    file = two / "ctkDICOM.sql"
    mode = file.stat().st_mode
    file.chmod(0)
    try:
        ended = process("inspect", two, before=before)
    finally:
        file.chmod(mode)
    assert ended.code == 2 and "cannot be read" in ended.line
    archive_path = zipped(two.parent / "a.zip", {"a": b"x"})
    archive_path.chmod(0)
    ended = process("inspect", archive_path, before=before)
    assert ended.code == 2 and "Permission denied" in ended.line
    assert sys.platform != "win32"
