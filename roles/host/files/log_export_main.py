"""Send the journal to somebody: `python3 -I /usr/local/lib/slipway/log_export FOLDER STATE NAME`.

FOLDER is the stack's, STATE its own, NAME the destination's. Runs on every host once for each, as the service
`slipway-log-export@NAME`. Needs nothing but Python; the modules in `core` are Slipway's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.logs.log_export import main

if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
