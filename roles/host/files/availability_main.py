"""Tell others how services fare: `python3 -I /usr/local/lib/slipway/availability /opt/STACK`.

Runs on the first monitoring host as the service `slipway-availability`; `core` holds Slipway's own modules.
"""

from __future__ import annotations

import os
import sys

from core.monitoring.availability_work import main

if __name__ == "__main__":
    os.umask(0o022)
    main(sys.argv[1:])
