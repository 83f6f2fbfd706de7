"""Take or prove a stack's backups: `python3 -I /usr/local/lib/slipway/backup STACK scheduled|verify|full|…`.

Runs on the host that keeps the backups, from the timers `slipway-backup` and `slipway-verify-backups`. Needs
nothing but Python and the engine; the modules in `core` are Slipway's own.
"""

from __future__ import annotations

import os
import sys

from core.backup.backup_work import main

if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
