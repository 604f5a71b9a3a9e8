"""Several parameters as one value; packs may hold packs."""

import typing

import slicer

from .default import Default, extractDefault
from .parameterInfo import ParameterInfo
from .serializers import (
    Serializer,
    ValidatedSerializer,
    createSerializer,
    parameterNodeSerializer,
)
from .util import splitAnnotations, splitPossiblyDottedName, unannotatedType
from .validators import IsInstance, NotNone

__all__ = ["isParameterPack", "nestedParameterNames", "parameterPack"]


def isParameterPack(obj):
    return bool(getattr(obj, "_is_parameterPack", False))


def nestedParameterNames(parameterPackClassOrInstance) -> list[str]:
    """The dotted names of all parameters that are not packs themselves."""
    names = []
    for name, info in unannotatedType(parameterPackClassOrInstance).allParameters.items():
        inner = unannotatedType(info.unalteredType)
        if isParameterPack(inner):
            names += [f"{name}.{nested}" for nested in nestedParameterNames(inner)]
        else:
            names.append(name)
    return names


def _checkMember(packObjectOrClass, membername: str):
    first, rest = splitPossiblyDottedName(membername)
    parameters = getattr(packObjectOrClass, "allParameters", {})
    if first not in parameters:
        raise ValueError(f"{packObjectOrClass} has no member '{first}'")
    if rest is not None:
        _checkMember(unannotatedType(parameters[first].unalteredType), rest)
    return True


class _Member:
    """One parameter of a pack; writing it in a pack that is in a node writes the node."""

    def __init__(self, name, serializer):
        self.name, self.serializer = name, serializer

    def __get__(self, pack, owner):
        return self if pack is None else pack.__dict__[f"_value_{self.name}"]

    def __set__(self, pack, value):
        self.serializer.validate(value)
        pack.__dict__[f"_value_{self.name}"] = value
        save = pack.__dict__.get("_save")
        if save is not None:
            save(pack)


def _initialise(self, *args, **kwargs):
    names = list(self.allParameters)
    given = dict(zip(names, args, strict=False))
    if len(args) > len(names) or set(kwargs) - set(names) or set(given) & set(kwargs):
        raise TypeError(f"{type(self).__name__} takes {', '.join(names)}, each once")
    given.update(kwargs)
    for name, info in self.allParameters.items():
        setattr(self, name, given.get(name, info.default.value))


def _getValue(self, membername: str):
    _checkMember(self, membername)
    first, rest = splitPossiblyDottedName(membername)
    value = getattr(self, first)
    return value if rest is None else value.getValue(rest)


def _setValue(self, membername: str, value):
    _checkMember(self, membername)
    first, rest = splitPossiblyDottedName(membername)
    if rest is None:
        setattr(self, first, value)
        return
    inner = getattr(self, first)
    inner.setValue(rest, value)
    setattr(self, first, inner)


def _equal(self, other):
    if not isParameterPack(other) or list(self.allParameters) != list(other.allParameters):
        return NotImplemented
    return all(self.getValue(n) == other.getValue(n) for n in self.allParameters)


def _represented(self):
    values = ", ".join(f"{name}={self.getValue(name)!r}" for name in self.allParameters)
    return f"{type(self).__name__}({values})"


def parameterPack(classtype=None):
    """Class decorator: a value of several typed members."""

    def make(cls):
        members = typing.get_type_hints(cls, include_extras=True)
        if not members:
            raise ValueError(f"{cls} has no members")
        parameters = {}
        for name, written in members.items():
            inner, annotations = splitAnnotations(written)
            serializer, annotations = createSerializer(inner, annotations)
            default, _ = extractDefault(annotations)
            if name in cls.__dict__:
                default = Default(cls.__dict__[name])
            default = default or Default(generator=serializer.default)
            serializer.validate(default.value)
            parameters[name] = ParameterInfo(name, serializer, default, written)
            setattr(cls, name, _Member(name, serializer))
        own = cls.__dict__.get("__init__")

        def initialise(self, *args, **kwargs):
            if own is None:
                _initialise(self, *args, **kwargs)
            else:
                _initialise(self)
                own(self, *args, **kwargs)

        def dataType(membername):
            _checkMember(cls, membername)
            first, rest = splitPossiblyDottedName(membername)
            written = parameters[first].unalteredType
            return written if rest is None else unannotatedType(written).dataType(rest)

        cls.allParameters, cls._is_parameterPack = parameters, True
        cls.__init__, cls.getValue, cls.setValue = initialise, _getValue, _setValue
        cls.__eq__, cls.__hash__, cls.__repr__ = _equal, None, _represented
        cls.dataType = staticmethod(dataType)
        return cls

    return make if classtype is None else make(classtype)


@parameterNodeSerializer
class ParameterPackSerializer(Serializer):
    """Member `m` under `name.m`."""

    def __init__(self, type_) -> None:
        self.type = type_

    @staticmethod
    def canSerialize(type_) -> bool:
        return isParameterPack(type_)

    @staticmethod
    def create(type_):
        validators = [NotNone(), IsInstance(type_)]
        return ValidatedSerializer(ParameterPackSerializer(type_), validators)

    def default(self):
        return self.type()

    def isIn(self, parameterNode, name: str) -> bool:
        first = next(iter(self.type.allParameters.values()))
        return first.serializer.isIn(parameterNode, f"{name}.{first.basename}")

    def write(self, parameterNode, name: str, value) -> None:
        with slicer.util.NodeModify(parameterNode):
            for member, info in self.type.allParameters.items():
                info.serializer.write(parameterNode, f"{name}.{member}", getattr(value, member))

    def read(self, parameterNode, name: str):
        pack = self.type.__new__(self.type)
        for member, info in self.type.allParameters.items():
            value = info.serializer.read(parameterNode, f"{name}.{member}")
            pack.__dict__[f"_value_{member}"] = value
        pack.__dict__["_save"] = lambda changed: self.write(parameterNode, name, changed)
        return pack

    def remove(self, parameterNode, name: str) -> None:
        for member, info in self.type.allParameters.items():
            info.serializer.remove(parameterNode, f"{name}.{member}")
