"""Keep two sites from serving at once: `python3 site.py start|watch`, beside Patroni.

A site that was promoted says when, in Patroni's settings (`slipway.promoted`). One that finds the other a
primary, promoted later than itself, has been left: it starts no PostgreSQL, and stops the one that runs,
until it is told to follow. Its data stay as they are. What it cannot reach it cannot know: then it starts,
and goes on.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SETTINGS = "/config/site.json"
# Both sites' authorities.
AUTHORITIES = "/config/tls/sites.crt"
OWN = "https://localhost:8008"
EVERY = 5
PATIENCE = 3
REMIND = 60
STOP = ["/usr/lib/postgresql/17/bin/pg_ctl", "stop", "-D", "/var/lib/postgresql/17/main", "-m", "fast", "-W"]
LEFT = "the other site was promoted after this one: this one does not serve (docs/runbooks/second-site.md)"

# Patroni is in the image, and its YAML with it.
AS_JSON = """
import json, subprocess, yaml
told = subprocess.run(["patronictl", "show-config"], capture_output=True, check=True).stdout
print(json.dumps(yaml.safe_load(told)))
"""

Get = Callable[[str], tuple[int, bytes]]


def get(url: str) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=AUTHORITIES)
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def promoted(settings: Mapping[str, Any]) -> int:
    return int((settings.get("slipway") or {}).get("promoted") or 0)


def others_promotion(urls: list[str], get: Get = get) -> int | None:
    """When the other site was promoted, if it has a primary now; None where none, or nobody, answers."""
    for url in urls:
        try:
            if get(f"{url}/primary")[0] == 200:
                return promoted(json.loads(get(f"{url}/config")[1]))
        except (OSError, ValueError):
            continue
    return None


def left(own: Mapping[str, Any], others: int | None) -> bool:
    """Whether this site has been left: it would be a primary, and the other one was promoted later."""
    return others is not None and not own.get("standby_cluster") and others > promoted(own)


def stored() -> dict[str, Any]:
    """Patroni's settings from etcd, as far as they matter here: Patroni does not run yet."""
    while True:
        asked = subprocess.run(
            ["python3", "-c", AS_JSON],
            capture_output=True,
            check=False,
        )
        if asked.returncode == 0:
            return dict(json.loads(asked.stdout) or {})
        print(
            f"site: etcd does not answer: {asked.stderr.decode(errors='replace').strip()[-200:]}", flush=True
        )
        time.sleep(PATIENCE)  # before etcd is asked again


def start(urls: list[str]) -> int:
    """Wait while this site has been left; it is told to follow the other one, or that one goes."""
    told = 0.0
    while True:
        others = others_promotion(urls)
        # Before a first start there are no settings, nor anything to keep from serving.
        if others is None or not (own := stored()) or not left(own, others):
            return 0
        if time.monotonic() - told > REMIND or not told:
            told = time.monotonic()
            print(f"site: {LEFT}", flush=True)
        time.sleep(EVERY)  # between two looks at the other site


def is_primary() -> bool:
    try:
        return get(f"{OWN}/primary")[0] == 200
    except OSError:
        return False


def watch(urls: list[str]) -> int:
    while True:
        time.sleep(EVERY)  # between two looks at the other site
        others = others_promotion(urls)
        if others is None:
            continue
        try:
            own = json.loads(get(f"{OWN}/config")[1])
        except (OSError, ValueError):
            continue
        # Stopped and paused is how a site hands over: it is about to be told to follow.
        if left(own, others) and (not own.get("pause") or is_primary()):
            print(f"site: {LEFT}; stopping", flush=True)
            # Patroni would write a checkpoint first, and let sessions write on meanwhile.
            subprocess.run(STOP, check=False)
            os.kill(os.getppid(), signal.SIGTERM)
            return 0


def main(arguments: list[str]) -> int:
    urls = list(json.loads(Path(SETTINGS).read_text(encoding="utf-8"))["urls"])
    return {"start": start, "watch": watch}[arguments[0]](urls)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
