"""Ask third parties: `python3 -I /usr/local/lib/slipway/third_parties RELEASE FOLDER`.

Runs on the monitoring hosts as the service `slipway-third-parties`. Needs nothing but Python; the modules in `core` are Slipway's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.monitoring.third_party_watch import main

if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
