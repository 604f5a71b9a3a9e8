"""What is known of one parameter."""

import dataclasses
import typing

from .default import Default
from .serializers import Serializer


@dataclasses.dataclass
class ParameterInfo:
    """Name, serializer, default and the type as it was written."""

    basename: str
    serializer: Serializer
    default: Default
    unalteredType: typing.Any
