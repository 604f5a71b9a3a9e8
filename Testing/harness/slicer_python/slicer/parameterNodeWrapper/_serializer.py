"""The base of all serializers, and how one is found for a type."""

import abc

from .util import splitAnnotations
from .validators import extractValidators


class Serializer(abc.ABC):
    """Reads and writes values of one type."""

    @staticmethod
    @abc.abstractmethod
    def canSerialize(type_) -> bool:
        """Whether values of this type are this serializer's."""

    @staticmethod
    @abc.abstractmethod
    def create(type_):
        """A serializer for the type, with the validators that always hold for it."""

    @abc.abstractmethod
    def default(self):
        """The value of a parameter that names no default."""

    @abc.abstractmethod
    def isIn(self, parameterNode, name: str) -> bool: ...

    @abc.abstractmethod
    def write(self, parameterNode, name: str, value) -> None: ...

    @abc.abstractmethod
    def read(self, parameterNode, name: str): ...

    @abc.abstractmethod
    def remove(self, parameterNode, name: str) -> None: ...

    @staticmethod
    def supportsCaching() -> bool:
        """Whether a value that was read may be kept until the node changes."""
        return False


class ValidatedSerializer(Serializer):
    """Another serializer behind validators."""

    def __init__(self, serializer, validators):
        validators = list(validators or [])
        if isinstance(serializer, ValidatedSerializer):
            validators = [*serializer.validators, *validators]
            serializer = serializer.serializer
        self.serializer, self.validators = serializer, validators

    @staticmethod
    def canSerialize(type_) -> bool:
        return False

    @staticmethod
    def create(type_):
        raise NotImplementedError("a ValidatedSerializer is made around another one")

    def default(self):
        return self.serializer.default()

    def isIn(self, parameterNode, name):
        return self.serializer.isIn(parameterNode, name)

    def validate(self, value):
        for validator in self.validators:
            validator.validate(value)

    def write(self, parameterNode, name, value):
        self.validate(value)
        self.serializer.write(parameterNode, name, value)

    def read(self, parameterNode, name):
        return self.serializer.read(parameterNode, name)

    def remove(self, parameterNode, name):
        self.serializer.remove(parameterNode, name)

    def supportsCaching(self) -> bool:
        return self.serializer.supportsCaching()


_registered = []


def parameterNodeSerializer(classtype=None):
    """Class decorator: offer a serializer for its types."""

    def register(cls):
        if not issubclass(cls, Serializer):
            raise TypeError(f"{cls} is not a Serializer")
        _registered.append(cls)
        return cls

    return register if classtype is None else register(classtype)


def createSerializer(type_, annotations):
    """The serializer for a type with its validators, and the annotations that are left."""
    validators, annotations = extractValidators(annotations)
    own = [a for a in annotations if isinstance(a, Serializer)]
    others = [a for a in annotations if not isinstance(a, Serializer)]
    if own:
        return ValidatedSerializer(own[0], validators), others
    for candidate in _registered:
        if candidate.canSerialize(type_):
            return ValidatedSerializer(candidate.create(type_), validators), others
    raise TypeError(f"no serializer for {type_}")


def createSerializerFromAnnotatedType(annotatedType):
    return createSerializer(*splitAnnotations(annotatedType))[0]
