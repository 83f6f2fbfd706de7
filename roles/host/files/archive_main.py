"""Archive what is no database: `python3 -I /usr/local/lib/slipway/archive STACK take|keep|copy`.

Runs on every host from the timer `slipway-archive`, and where archives are kept from `slipway-archive-keep`,
which deletes old ones, and `slipway-archive-second`, which copies them to the second place.
Needs nothing but Python, restic, the engine, and ssh where the second place is an SFTP server; the modules
in `core` are Slipway's own.
"""

from __future__ import annotations

import os
import sys

from core.archive.archive_work import main

if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
