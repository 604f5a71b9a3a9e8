"""Taking annotated types apart."""

import types
import typing
from typing import Annotated

import slicer

__all__ = [
    "findFirstAnnotation",
    "getNodeTypes",
    "isNodeOrUnionOfNodes",
    "splitAnnotations",
    "unannotatedType",
]


def splitAnnotations(possiblyAnnotatedType):
    """The type and the list of its annotations, empty if it has none."""
    if typing.get_origin(possiblyAnnotatedType) is Annotated:
        inner, *annotations = typing.get_args(possiblyAnnotatedType)
        return inner, annotations
    return possiblyAnnotatedType, []


def unannotatedType(possiblyAnnotatedType):
    return splitAnnotations(possiblyAnnotatedType)[0]


def findFirstAnnotation(annotationsList, annotationType):
    return next((a for a in annotationsList if isinstance(a, annotationType)), None)


def splitPossiblyDottedName(possiblyDottedName):
    """'a.b.c' as ('a', 'b.c'); 'a' as ('a', None)."""
    first, dot, rest = possiblyDottedName.partition(".")
    return (first, rest) if dot else (first, None)


def isUnion(datatype):
    return typing.get_origin(datatype) in (typing.Union, types.UnionType)


def _members(datatype):
    inner = unannotatedType(datatype)
    members = typing.get_args(inner) if isUnion(inner) else (inner,)
    return [m for m in members if m is not type(None)]


def isNodeOrUnionOfNodes(datatype) -> bool:
    """Whether this is a MRML node class, or a union of such, perhaps with None."""
    members = _members(datatype)
    return bool(members) and all(
        isinstance(m, type) and issubclass(m, slicer.vtkMRMLNode) for m in members
    )


def getNodeTypes(datatype):
    """The class names of the nodes that a node type or union of them allows."""
    return [m.__name__ for m in _members(datatype)]
