"""Keep two sites from serving at once: `python3 site.py start|watch|alone|keep|recall`, beside Patroni.

A site that was promoted says when, in Patroni's settings (`slipway.promoted`). One that finds the other a
primary, promoted later than itself, has been left: it starts no PostgreSQL, and stops the one that runs,
until it is told to follow. Its data stay as they are. What it cannot reach it cannot know: then it starts,
and goes on.

A site that follows notes when the other one was promoted (`slipway.others`), for its own turn must be later.
A restore and a rebuild make a cluster with new settings: `keep` (from those that etcd is about to forget) and
`recall` (from those that came with a backup) put the times into the volume, and `watch` into the new ones.
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
# In the volume beside the data, so that no backup, rewind or clone brings another one.
KEPT = Path("/var/lib/postgresql/17/promotions.json")
# Patroni's own copy of its settings, which lies among the data, and so in every backup.
COPIED = Path("/var/lib/postgresql/17/main/patroni.dynamic.json")
TIMES = ("promoted", "others")
OWN = "https://localhost:8008"
EVERY = 5
PATIENCE = 3
REMIND = 60
TELL = ["curl", "--config", "/config/api.curl", "--request", "PATCH", "--data", "@-", f"{OWN}/config"]
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


def times(settings: Mapping[str, Any]) -> dict[str, int]:
    """When this site was promoted, and when the other one was, as far as this one knows; 0: never."""
    own = settings.get("slipway") or {}
    return {name: int(own.get(name) or 0) for name in TIMES}


def promoted(settings: Mapping[str, Any]) -> int:
    return times(settings)["promoted"]


def read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def latest(*settings: Mapping[str, Any]) -> dict[str, int]:
    told = [times(one) for one in settings]
    return {name: max(one[name] for one in told) for name in TIMES}


def with_kept(own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, as they are once `watch` has put into them what the volume has kept."""
    return {**own, "slipway": latest(own, read(KEPT))}


def keep(settings: Mapping[str, Any], path: Path = KEPT) -> None:
    """Into the volume, in one piece: half a file would be none."""
    known = latest(settings, read(path))
    if any(known.values()):
        fresh = path.with_suffix(".fresh")
        fresh.write_text(json.dumps({"slipway": known}), encoding="utf-8")
        fresh.replace(path)


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


def learned(own: Mapping[str, Any], kept: Mapping[str, Any], others: int | None) -> dict[str, int]:
    """What this site knows of both promotions and its settings do not say; empty: nothing."""
    known = latest(own, kept)
    if others is not None and own.get("standby_cluster"):
        known["others"] = max(known["others"], others)
    return {name: value for name, value in known.items() if value > times(own)[name]}


def tell(news: Mapping[str, int]) -> None:
    """Change Patroni's settings; where that fails, the next look tries again."""
    done = subprocess.run(TELL, input=json.dumps({"slipway": news}).encode(), check=False)
    if done.returncode == 0:
        print(f"site: noted {json.dumps(news)}", flush=True)


def ask_etcd() -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["python3", "-c", AS_JSON], capture_output=True, check=False)


def stored() -> dict[str, Any]:
    """Patroni's settings from etcd, as far as they matter here: Patroni does not run yet."""
    while True:
        asked = ask_etcd()
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
        if others is None or not (own := stored()) or not left(with_kept(own), others):
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
        try:
            own = json.loads(get(f"{OWN}/config")[1])
        except (OSError, ValueError):
            continue
        known = with_kept(own)
        # Stopped and paused is how a site hands over: it is about to be told to follow.
        if left(known, others) and (not own.get("pause") or is_primary()):
            print(f"site: {LEFT}; stopping", flush=True)
            # Patroni would write a checkpoint first, and let sessions write on meanwhile.
            subprocess.run(STOP, check=False)
            os.kill(os.getppid(), signal.SIGTERM)
            return 0
        if news := learned(own, known, others):
            tell(news)


def alone(urls: list[str]) -> int:
    """Before a rebuild: where the other site serves, a second primary is the last thing that is wanted."""
    if others_promotion(urls) is None:
        return 0
    print("site: the other site serves: nothing is restored here (docs/runbooks/second-site.md)", flush=True)
    return 1


def keep_stored(_urls: list[str]) -> int:
    """Before a restore, of which etcd forgets the cluster."""
    asked = ask_etcd()
    if asked.returncode:
        print(asked.stderr.decode(errors="replace").strip()[-200:], file=sys.stderr)
        return 1
    own = dict(json.loads(asked.stdout) or {})
    if own.get("standby_cluster"):
        print("this site follows the other one: restore where the databases are served", file=sys.stderr)
        return 1
    keep(own)
    return 0


def recall(_urls: list[str]) -> int:
    """After a rebuild has brought the data back, and before they serve."""
    keep(read(COPIED))
    return 0


def main(arguments: list[str]) -> int:
    urls = list(json.loads(Path(SETTINGS).read_text(encoding="utf-8"))["urls"])
    verbs = {"start": start, "watch": watch, "alone": alone, "keep": keep_stored, "recall": recall}
    return verbs[arguments[0]](urls)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
