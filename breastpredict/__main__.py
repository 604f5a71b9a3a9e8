"""``python -m breastpredict``."""

from __future__ import annotations

import sys

from breastpredict.cli import main

if __name__ == "__main__":
    sys.exit(main())
