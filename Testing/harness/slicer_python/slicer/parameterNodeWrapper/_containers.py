"""Serializers of values that hold values: lists, tuples and unions."""

import collections.abc
import typing

import slicer

from ._scalars import NoneSerializer, NumberSerializer
from ._serializer import (
    Serializer,
    ValidatedSerializer,
    createSerializerFromAnnotatedType,
    parameterNodeSerializer,
)
from .util import isUnion


class ObservedList(collections.abc.MutableSequence):
    """A list in a parameter node: every change of it is written at once."""

    def __init__(self, parameterNode, listSerializer, name, startingValue):
        self._parameterNode, self._serializer = parameterNode, listSerializer
        self._name, self._list = name, startingValue

    def _save(self):
        try:
            self._serializer.write(self._parameterNode, self._name, self._list)
        finally:  # a refused value must not stay in the list
            self._list = self._serializer.read(self._parameterNode, self._name)._list

    def __len__(self):
        return len(self._list)

    def __getitem__(self, index):
        return self._list[index]

    def __setitem__(self, index, item):
        self._list[index] = item
        self._save()

    def __delitem__(self, index):
        del self._list[index]
        self._save()

    def insert(self, index, item) -> None:
        self._list.insert(index, item)
        self._save()

    def __eq__(self, other) -> bool:
        return self._list == (other._list if isinstance(other, ObservedList) else other)

    def __repr__(self) -> str:
        return f"ObservedList({self._list})"


@parameterNodeSerializer
class ListSerializer(Serializer):
    """list[T]: the length under `name.len`, the elements under `name.0`, `name.1`, …"""

    def __init__(self, elementTypeSerializer):
        self._element, self._length = elementTypeSerializer, NumberSerializer(int)

    @staticmethod
    def canSerialize(type_) -> bool:
        return typing.get_origin(type_) is list

    @staticmethod
    def create(type_):
        (element,) = typing.get_args(type_)
        return ListSerializer(createSerializerFromAnnotatedType(element))

    def default(self):
        return []

    def isIn(self, parameterNode, name: str) -> bool:
        return self._length.isIn(parameterNode, f"{name}.len")

    def _len(self, node, name):
        return self._length.read(node, f"{name}.len") if self.isIn(node, name) else 0

    def write(self, parameterNode, name: str, values) -> None:
        values = list(values)
        if isinstance(self._element, ValidatedSerializer):
            for value in values:  # all or nothing
                self._element.validate(value)
        with slicer.util.NodeModify(parameterNode):
            before = self._len(parameterNode, name)
            for index, value in enumerate(values):
                self._element.write(parameterNode, f"{name}.{index}", value)
            self._length.write(parameterNode, f"{name}.len", len(values))
            for index in range(len(values), before):
                self._element.remove(parameterNode, f"{name}.{index}")

    def read(self, parameterNode, name: str):
        count = self._len(parameterNode, name)
        values = [self._element.read(parameterNode, f"{name}.{i}") for i in range(count)]
        return ObservedList(parameterNode, self, name, values)

    def remove(self, parameterNode, name: str) -> None:
        with slicer.util.NodeModify(parameterNode):
            for index in range(self._len(parameterNode, name)):
                self._element.remove(parameterNode, f"{name}.{index}")
            self._length.remove(parameterNode, f"{name}.len")

    def supportsCaching(self) -> bool:
        return self._element.supportsCaching()


@parameterNodeSerializer
class TupleSerializer(Serializer):
    """tuple[A, B, …]: the elements under `name.0`, `name.1`, …"""

    def __init__(self, serializers):
        self._serializers = serializers

    @staticmethod
    def canSerialize(type_) -> bool:
        return typing.get_origin(type_) is tuple

    @staticmethod
    def create(type_):
        members = typing.get_args(type_)
        return TupleSerializer([createSerializerFromAnnotatedType(m) for m in members])

    def default(self):
        return tuple(s.default() for s in self._serializers)

    def isIn(self, parameterNode, name: str) -> bool:
        return self._serializers[0].isIn(parameterNode, f"{name}.0")

    def write(self, parameterNode, name: str, values) -> None:
        with slicer.util.NodeModify(parameterNode):
            pairs = zip(self._serializers, tuple(values), strict=True)
            for index, (serializer, value) in enumerate(pairs):
                serializer.write(parameterNode, f"{name}.{index}", value)

    def read(self, parameterNode, name: str):
        members = enumerate(self._serializers)
        return tuple(s.read(parameterNode, f"{name}.{index}") for index, s in members)

    def remove(self, parameterNode, name: str) -> None:
        for index, serializer in enumerate(self._serializers):
            serializer.remove(parameterNode, f"{name}.{index}")

    def supportsCaching(self) -> bool:
        return all(s.supportsCaching() for s in self._serializers)


@parameterNodeSerializer
class UnionSerializer(Serializer):
    """A | B and Optional[A]: member n of the union under `name.n`."""

    def __init__(self, serializers):
        self._serializers = [ValidatedSerializer(s, []) for s in serializers]

    @staticmethod
    def canSerialize(type_) -> bool:
        return isUnion(type_)

    @staticmethod
    def create(type_):
        members = typing.get_args(type_)
        return UnionSerializer([createSerializerFromAnnotatedType(m) for m in members])

    def default(self):
        last = self._serializers[-1].serializer
        is_optional = len(self._serializers) == 2 and isinstance(last, NoneSerializer)
        return None if is_optional else self._serializers[0].default()

    def isIn(self, parameterNode, name: str) -> bool:
        members = enumerate(self._serializers)
        return any(s.isIn(parameterNode, f"{name}.{index}") for index, s in members)

    def write(self, parameterNode, name: str, value) -> None:
        chosen = None
        for index, member in enumerate(self._serializers):
            if member.serializer.canSerialize(type(value)):
                try:
                    member.validate(value)
                except (TypeError, ValueError):
                    continue
                chosen = index
                break
        if chosen is None:
            raise ValueError(f"no member of the union takes {value!r}")
        with slicer.util.NodeModify(parameterNode):
            self.remove(parameterNode, name)
            self._serializers[chosen].write(parameterNode, f"{name}.{chosen}", value)

    def read(self, parameterNode, name: str):
        for index, member in enumerate(self._serializers):
            if member.isIn(parameterNode, f"{name}.{index}"):
                return member.read(parameterNode, f"{name}.{index}")
        raise ValueError(f"the parameter node has no {name}")

    def remove(self, parameterNode, name: str) -> None:
        for index, member in enumerate(self._serializers):
            member.remove(parameterNode, f"{name}.{index}")

    def supportsCaching(self) -> bool:
        return all(s.supportsCaching() for s in self._serializers)
