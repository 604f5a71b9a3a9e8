"""Serializers of single values: numbers, text, paths, enums, nodes."""

import enum
import pathlib

import slicer

from ._serializer import Serializer, ValidatedSerializer, parameterNodeSerializer
from .validators import IsInstance, IsNone, NotNone

PATHS = (pathlib.Path, pathlib.PosixPath, pathlib.PurePath, pathlib.PurePosixPath,
         pathlib.WindowsPath, pathlib.PureWindowsPath)  # fmt: skip


class _TextSerializer(Serializer):
    """Base of those that write one string under the parameter's name."""

    def isIn(self, parameterNode, name: str) -> bool:
        return bool(parameterNode.HasParameter(name))

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, str(value))

    def remove(self, parameterNode, name: str) -> None:
        parameterNode.UnsetParameter(name)

    @staticmethod
    def supportsCaching() -> bool:
        return True


@parameterNodeSerializer
class NumberSerializer(_TextSerializer):
    """int and float."""

    def __init__(self, type):
        self.type = type

    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ in (int, float)

    @staticmethod
    def create(type_):
        allowed = (int, float) if type_ is float else int
        return ValidatedSerializer(NumberSerializer(type_), [NotNone(), IsInstance(allowed)])

    def default(self):
        return 0

    def read(self, parameterNode, name: str):
        return self.type(parameterNode.GetParameter(name))


@parameterNodeSerializer
class StringSerializer(_TextSerializer):
    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is str

    @staticmethod
    def create(type_):
        return ValidatedSerializer(StringSerializer(), [NotNone(), IsInstance(str)])

    def default(self):
        return ""

    def read(self, parameterNode, name: str):
        return parameterNode.GetParameter(name)


@parameterNodeSerializer
class PathSerializer(_TextSerializer):
    """pathlib's classes."""

    def __init__(self, pathtype):
        self.type = pathtype

    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ in PATHS

    @staticmethod
    def create(type_):
        return ValidatedSerializer(PathSerializer(type_), [NotNone(), IsInstance(type_)])

    def default(self):
        return self.type()

    def read(self, parameterNode, name: str):
        return self.type(parameterNode.GetParameter(name))


@parameterNodeSerializer
class BoolSerializer(_TextSerializer):
    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is bool

    @staticmethod
    def create(type_):
        return ValidatedSerializer(BoolSerializer(), [NotNone(), IsInstance(bool)])

    def default(self):
        return False

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, "True" if value else "False")

    def read(self, parameterNode, name: str) -> bool:
        return parameterNode.GetParameter(name) == "True"


@parameterNodeSerializer
class EnumSerializer(_TextSerializer):
    """Enums, stored by name: a saved scene survives a change of the values."""

    def __init__(self, enum_):
        self.enum = enum_

    @staticmethod
    def canSerialize(type_) -> bool:
        return isinstance(type_, type) and issubclass(type_, enum.Enum)

    @staticmethod
    def create(type_):
        return ValidatedSerializer(EnumSerializer(type_), [NotNone(), IsInstance(type_)])

    def default(self):
        return next(iter(self.enum))

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, value.name)

    def read(self, parameterNode, name: str):
        return self.enum[parameterNode.GetParameter(name)]


@parameterNodeSerializer
class NodeSerializer(Serializer):
    """MRML nodes: a node reference, and an empty parameter that tells None from not set."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return isinstance(type_, type) and issubclass(type_, slicer.vtkMRMLNode)

    @staticmethod
    def create(type_):
        return ValidatedSerializer(NodeSerializer(), [IsInstance(type_)])

    def default(self):
        return None

    def isIn(self, parameterNode, name: str) -> bool:
        return bool(parameterNode.HasParameter(name))

    def write(self, parameterNode, name: str, value) -> None:
        parameterNode.SetParameter(name, "")
        parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, parameterNode, name: str):
        return parameterNode.GetNodeReference(name)

    def remove(self, parameterNode, name: str) -> None:
        parameterNode.UnsetParameter(name)
        parameterNode.RemoveNodeReferenceIDs(name)

    def supportsCaching(self) -> bool:
        return True


@parameterNodeSerializer
class NoneSerializer(_TextSerializer):
    """None, as a member of a union."""

    @staticmethod
    def canSerialize(type_) -> bool:
        return type_ is type(None)

    @staticmethod
    def create(type_):
        return ValidatedSerializer(NoneSerializer(), [IsNone()])

    def default(self):
        return None

    def read(self, parameterNode, name: str):
        return None
