"""Hostile archives, databases and DICOMDIRs."""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
import zipfile
import zlib
from contextlib import closing

import pydicom
from mutation_damage import ALL, NOTHING, Case, Damage, write


def damaged_zip(case: Case) -> Damage:
    path = case.folder / "study.zip"
    how = case.random.choice(("names", "links", "bomb", "liar", "nested", "method", "comment"))
    write(path, path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        image = archive.read(archive.infolist()[0])
    if how == "liar":
        write(path, _lying(case.random.randrange(1, 400)))
        return Damage("a zip of more than it says", NOTHING)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as out:
        if how == "names":
            names = "../up.dcm ../../etc/x /absolute.dcm C:/x.dcm ..\\..\\x a/../../x .. . con"
            for name in case.random.sample(names.split(), 4):
                out.writestr(name, image)
        elif how == "links":
            for name, target in (("link.dcm", "/etc/passwd"), ("dir", "/"), ("loop", "loop")):
                info = zipfile.ZipInfo(name)
                info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
                out.writestr(info, target)
        elif how == "bomb":
            block = bytes(2**20)
            with out.open("bomb.dcm", "w", force_zip64=True) as member:
                member.write(image[:132])
                for _ in range(case.random.choice((20, 150))):
                    member.write(block)
        elif how == "nested":
            out.writestr("inner.zip", path.read_bytes()[:5000])
        elif how == "method":
            out.writestr("bz.dcm", image, case.random.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
        else:
            out.comment = case.random.randbytes(3000)
    return Damage(f"a zip with {how}", NOTHING)


def _lying(stated: int) -> bytes:
    deflate = zlib.compressobj(9, wbits=-15)
    packed = deflate.compress(bytes(128) + b"DICM" + bytes(64 * 2**20)) + deflate.flush()
    head = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(packed), stated, 5, 0)
    local = b"PK\3\4" + head + b"a.dcm" + packed
    central = b"PK\1\2" + struct.pack("<H", 20) + head + struct.pack("<HHHII", 0, 0, 0, 0, 0)
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central) + 5, len(local), 0)
    return local + central + b"a.dcm" + b"PK\5\6" + end


def damaged_database(case: Case) -> Damage:
    path = case.folder / "slicer/ctkDICOM.sql"
    write(path, path.read_bytes())
    change, what = case.random.choice(
        (
            ("UPDATE Images SET Filename = '../../' || Filename", "names that lead out"),
            ("UPDATE Images SET Filename = '/etc/passwd' WHERE rowid = 3", "a system file"),
            ("UPDATE Images SET Filename = x'00ff' WHERE rowid = 5", "a name of bytes"),
            ("UPDATE Images SET Filename = NULL WHERE rowid < 9", "no names"),
            ("UPDATE Images SET Filename = Filename || char(0) || 'x' WHERE rowid = 2", "a NUL"),
            ("UPDATE Images SET Filename = replace(hex(zeroblob(9000)), '0', 'a')", "long names"),
            ("UPDATE Images SET Filename = 12 WHERE rowid = 7", "a number"),
            ("DROP TABLE Images", "no table"),
            ("DELETE FROM Images WHERE rowid % 2", "half of its rows"),
            ("ALTER TABLE Images RENAME COLUMN Filename TO Other", "another column"),
        )
    )
    with closing(sqlite3.connect(path)) as database:
        database.execute(change)
        database.commit()
    gone = what in ("no names", "half of its rows")  # files that were never fetched have none
    return Damage(f"a database with {what}", ALL if gone else NOTHING)


def damaged_medium(case: Case) -> Damage:
    path = case.folder / "medium/DICOMDIR"
    out = case.folder / "medium/../../outside.dcm"
    name = case.random.choice(
        (["..", "..", "x"], ["", "etc", "passwd"], ["DICOMDIR"], ["."], ["A/../../B"], ["N" * 500])
    )
    data = pydicom.dcmread(path)
    records = [r for r in data.DirectoryRecordSequence if "ReferencedFileID" in r]
    for record in case.random.sample(records, case.random.choice((1, 5, len(records)))):
        record.ReferencedFileID = name
    path.unlink()
    data.save_as(path)
    return Damage(f"a DICOMDIR that names {os.sep.join(name)[:30]!r} ({out.name})", NOTHING)
