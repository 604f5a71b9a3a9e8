"""What PCRPredict.py is made of.

The MRML logic imports slicer and never qt, so that headless runs and the browser share it. What is
not about pCR is in BreastPredictLib.
"""

import sys
from pathlib import Path

# A developer adds the modules' folders one by one; in the source tree BreastPredictLib lies beside
# them. Installed it lies beside the scripted modules, where it is found as they are.
_BESIDE = str(Path(__file__).resolve().parents[2])
if _BESIDE not in sys.path:
    sys.path.append(_BESIDE)
