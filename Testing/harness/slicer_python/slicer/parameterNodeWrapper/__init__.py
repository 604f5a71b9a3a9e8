"""Typed parameters in a vtkMRMLScriptedModuleNode, connected to widgets.

A smaller writing of Slicer's package of this name, with its public names and signatures: the types
that modules use and the widgets that Slicer's own connectors support, and no others.
"""

from .default import *  # noqa: F403
from .guiConnectors import *  # noqa: F403
from .parameterPack import *  # noqa: F403
from .serializers import *  # noqa: F403
from .types import *  # noqa: F403
from .util import (  # noqa: F401
    findFirstAnnotation,
    getNodeTypes,
    isNodeOrUnionOfNodes,
    splitAnnotations,
    unannotatedType,
)
from .validators import *  # noqa: F403
from .wrapper import *  # noqa: F403
