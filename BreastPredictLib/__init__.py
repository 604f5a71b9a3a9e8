"""What the modules HER2 Predict and PCR Predict share; neither imports the other.

It is installed beside the scripted modules, and lies beside their folders in the source tree; the
library of each module makes it importable there. Files named ``panel`` or ``*_section`` are about
widgets; the others import slicer and never qt, so that headless runs and the browser share them,
and ``backend`` and ``script`` import neither, so that a script can start where nothing is yet.
Pixels and networks are the backend's business: they are asked for in a child process (``tasks``).
"""
