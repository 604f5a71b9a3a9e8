"""BreastPredict: published breast-cancer imaging models from DICOM in to DICOM out.

Research use only. Not a medical device.
"""

from __future__ import annotations

__version__ = "0.1.0"

RESEARCH_USE_ONLY = "Research use only. Not for diagnosis or treatment."
"""Shown on every screen and written into every object and report."""

SYNTHETIC_WARNING = "Trained on synthetic data, not a result."
"""Added wherever a model's output is shown while its training data were phantoms."""
