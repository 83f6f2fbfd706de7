"""Tell the monitoring how containers fare: `python3 -I /usr/local/lib/slipway/container_metrics STACK FOLDER`.

Runs on every host as the service `slipway-container-metrics`. Needs nothing but Python; the modules in `core` are Slipway's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.monitoring.container_metrics import main

if __name__ == "__main__":
    os.umask(0o022)
    main(sys.argv[1], Path(sys.argv[2]))
