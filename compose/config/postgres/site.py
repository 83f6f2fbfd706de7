"""Keep two sites from serving at once: start, watch, may-lead, serve, alone, keep, recall, beside Patroni.

A site that was promoted says when, in Patroni's settings (`slipway.promoted`). One that finds the other a
primary, promoted later than itself, has been left: it starts no PostgreSQL, and stops the one that runs,
until it is told to follow. Its data stay as they are until then; once it follows, those that can become no
copy of the other's are given up (see diverged.py). What it has never reached it cannot know: then it starts,
and goes on. What it has seen once it remembers: a look that fails, or a failover there, ends no waiting.

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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import diverged

SETTINGS = "/config/site.json"
# Both sites' authorities.
AUTHORITIES = "/config/tls/sites.crt"
DATA = Path(os.environ["PGDATA"])
# In the volume beside the data, so that no backup, rewind or clone brings another one.
KEPT = DATA.with_name("promotions.json")
# Patroni's own copy of its settings, which lies among the data, and so in every backup.
COPIED = DATA / "patroni.dynamic.json"
TIMES = ("promoted", "others")
OWN = "https://localhost:8008"
EVERY = 5
PATIENCE = 3
# Before a promotion: whoever waits for it waits for this, too.
HURRY = 1
REMIND = 60
TELL = ["curl", "--config", "/config/api.curl", "--request", "PATCH", "--data", "@-", f"{OWN}/config"]
STOP = ["pg_ctl", "stop", "-D", str(DATA), "-m", "fast", "-W"]
LEFT = "the other site was promoted after this one: this one does not serve (docs/runbooks/second-site.md)"

# Patroni is in the image, and its YAML with it.
AS_JSON = """
import json, subprocess, yaml
told = subprocess.run(["patronictl", "show-config"], capture_output=True, check=True).stdout
print(json.dumps(yaml.safe_load(told)))
"""

Get = Callable[[str], tuple[int, bytes]]


def get(url: str, seconds: float = PATIENCE) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=AUTHORITIES)
    try:
        with urllib.request.urlopen(url, timeout=seconds, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def get_in_a_hurry(url: str) -> tuple[int, bytes]:
    return get(url, HURRY)


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


def remember(others: int | None) -> None:
    """That the other site was promoted, for a time when it cannot be asked."""
    if others is not None:
        keep({"slipway": {"others": others}})


def others_promotion(urls: list[str], get: Get = get) -> int | None:
    """When the other site was promoted, if it has a primary now; None where none, or nobody, answers."""

    def ask(url: str) -> int | None:
        try:
            if get(f"{url}/primary")[0] == 200:
                return promoted(json.loads(get(f"{url}/config")[1]))
        except (OSError, ValueError):
            return None
        return None

    # At once: of a site that is gone, none answers.
    with ThreadPoolExecutor() as pool:
        return max((one for one in pool.map(ask, urls) if one is not None), default=None)


def left(own: Mapping[str, Any], others: int | None) -> bool:
    """Whether this site has been left: it would be a primary, and the other one was promoted later.

    own: its settings, `with_kept`. others: what the other site says now; None: nothing.
    """
    newest = max(others or 0, times(own)["others"])
    return not own.get("standby_cluster") and newest > promoted(own)


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
        if (others is None and not times(read(KEPT))["others"]) or not (own := stored()):
            return 0
        if not left(with_kept(own), others):
            if own.get("standby_cluster"):
                diverged.give_up(DATA, settings()["source"])
            return 0
        remember(others)
        if time.monotonic() - told > REMIND or not told:
            told = time.monotonic()
            print(f"site: {LEFT}", flush=True)
        time.sleep(EVERY)  # between two looks at the other site


def serves() -> bool:
    """Whether a primary runs here: who has the leader's key is one to Patroni, its server running or not."""
    try:
        return all(get(f"{OWN}/{path}")[0] == 200 for path in ("primary", "health"))
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
        if left(known, others) and (not own.get("pause") or serves()):
            print(f"site: {LEFT}; stopping", flush=True)
            remember(others)
            # Patroni would write a checkpoint first, and let sessions write on meanwhile.
            subprocess.run(STOP, check=False)
            os.kill(os.getppid(), signal.SIGTERM)
            return 0
        if news := learned(own, known, others):
            tell(news)


def may_lead(urls: list[str]) -> int:
    """Before a promotion: none where the other site was promoted. Its timeline would get the same number."""
    try:
        own = json.loads(get_in_a_hurry(f"{OWN}/config")[1])
    except (OSError, ValueError):
        own = {}  # what the volume has kept remains
    if left(with_kept(own), others_promotion(urls, get_in_a_hurry)):
        print(f"site: {LEFT}", flush=True)
        return 1
    return 0


def serve(urls: list[str]) -> int:
    """Have this site serve though it was left: the other one is lost for good, and its data with it."""
    if others_promotion(urls) is not None:
        print("site: the other site serves: have this one follow it instead", file=sys.stderr)
        return 1
    later = max(times(with_kept(stored())).values()) + 1
    argv = ["patronictl", "edit-config", "--quiet", "--force", "-s", f"slipway.promoted={later}"]
    return subprocess.run(argv, check=False).returncode


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


def settings() -> dict[str, Any]:
    return dict(json.loads(Path(SETTINGS).read_text(encoding="utf-8")))


def main(arguments: list[str]) -> int:
    verbs = {
        "start": start,
        "watch": watch,
        "may-lead": may_lead,
        "serve": serve,
        "alone": alone,
        "keep": keep_stored,
        "recall": recall,
    }
    return verbs[arguments[0]](list(settings()["urls"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
