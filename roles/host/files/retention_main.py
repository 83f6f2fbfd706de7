"""Delete rows that are old: `python3 -I /usr/local/lib/slipway/retention STACK delete|due`.

Runs on every host of PostgreSQL from the timer `slipway-retention`; the one that leads does it. Needs nothing
but Python and the engine; the modules in `core` are Slipway's own.
"""

from __future__ import annotations

import os
import sys

from core.data_care.retention_work import main

if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
