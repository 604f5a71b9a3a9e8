"""Slicer's DICOM utilities, as far as a module uses them to index and load."""

from . import DICOMUtils  # noqa: F401
from .DICOMPlugin import DICOMLoadable, DICOMPlugin  # noqa: F401
from .DICOMUtils import *  # noqa: F403
