"""Values as the strings and node references of a parameter node; the same text as Slicer writes."""

from ._containers import (  # noqa: F401
    ListSerializer,
    ObservedList,
    TupleSerializer,
    UnionSerializer,
)
from ._scalars import (  # noqa: F401
    PATHS,
    BoolSerializer,
    EnumSerializer,
    NodeSerializer,
    NoneSerializer,
    NumberSerializer,
    PathSerializer,
    StringSerializer,
)
from ._serializer import (  # noqa: F401
    Serializer,
    ValidatedSerializer,
    createSerializer,
    createSerializerFromAnnotatedType,
    parameterNodeSerializer,
)

__all__ = [
    "BoolSerializer",
    "ListSerializer",
    "NodeSerializer",
    "NumberSerializer",
    "PathSerializer",
    "Serializer",
    "StringSerializer",
    "TupleSerializer",
    "UnionSerializer",
    "ValidatedSerializer",
    "parameterNodeSerializer",
]
