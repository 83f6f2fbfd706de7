"""Send the journal: `python3 -I /usr/local/lib/slipway/log_shipper FOLDER STATE`, of the stack and its own.

Runs on every host as the service `slipway-log-shipper`. Needs nothing but Python; the modules in `core` are Slipway's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.logs.log_shipper import main

if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
