"""The pCR batch inside 3D Slicer, without a window.

    Slicer --no-splash --no-main-window --python-script pcr_batch.py -- batch COHORT.csv …
    Slicer --no-splash --no-main-window --python-script pcr_batch.py -- predict COHORT.csv …

Same options, outputs and exit codes as ``breastpredict pcr``. With ``--mrb`` a batch inside Slicer
also writes a scene bundle of every predicted case, as ``OUT/KEY/KEY.mrb``. Slicer goes on running
after a script, also after one that failed, so this one always ends it. Nothing is installed and no
dialog is opened: nobody could answer it. Plain Python runs the same file.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Beside the scripted modules in the installed extension, beside their folders in the source tree.
sys.path += map(str, Path(__file__).resolve().parents[1:3])

try:
    from BreastPredictLib.script import end, run
except ImportError as error:  # the extension is not whole
    print(f"breastpredict: error: {error}: install the extension again", file=sys.stderr)
    sys.exit(1)

if __name__ == "__main__":
    end(run("pcr", ("batch", "predict")))
