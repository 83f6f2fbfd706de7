"""A real S3 store whose certificate a company's CA signed: OpenStack Swift on one node, from swift/."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.slipway.compose.plugins.module_utils._core.run import process
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import S3
from ansible_collections.slipway.compose.plugins.plugin_utils import pki
from backup_cluster import docker
from images import newest

IMAGE = "slipway-test/swift"
# As in swift/proxy-server.conf and swift/haproxy.cfg. By Swift's way a key's name has a colon.
KEY, SECRET, REGION, PORT = "shop:keeper", "hidden", "default", 8443
# Six servers start, five of them in Python, on a machine that may be busy.
LIMIT = 120
# Many packages, once.
BUILD_LIMIT = 1200


class Store:
    """One in a container; `folder`: where its certificate and that of the CA lie."""

    secrets = {"place_access": KEY, "place_secret": SECRET}

    def __init__(self, container: str, address: str, folder: Path) -> None:
        self.container, self.address, self.folder = container, address, folder
        now = datetime.now(UTC)
        ca = pki.new_ca("a company", now)
        self.authority = ca.certificate
        pair = pki.issue(ca, [address], now)
        folder.mkdir()
        (folder / "store.pem").write_text(pair.certificate + pair.key)
        (folder / "ca.crt").write_text(self.authority)

    def declared(self, bucket: str) -> S3:
        """What a stack says of it. It is reached by its address, so that a bucket is no name of a host."""
        return S3(f"{self.address}:{PORT}", bucket, REGION, True, "place_access", "place_secret")

    def start(self, network: str) -> None:
        recipe = Path(__file__).parent / "swift"
        build = ["docker", "build", "--quiet", f"--build-arg=BASE={newest('base')}", f"--tag={IMAGE}"]
        subprocess.run([*build, str(recipe)], check=True, capture_output=True, timeout=BUILD_LIMIT)
        inside = [f"--network={network}", f"--ip={self.address}", f"--volume={self.folder}:/place:ro"]
        docker("run", "--detach", "--init", "--name", self.container, *inside, IMAGE)

    def make(self, bucket: str) -> None:
        """As soon as it answers; one that is there already is left as it is."""
        # curl's --user ends the name at the first colon.
        key = KEY.replace(":", "%3A")
        ask = ["curl", "--silent", "--show-error", "--max-time", "30", "--cacert", "/place/ca.crt"]
        ask += ["--output", "/dev/null", "--write-out", "%{http_code}"]
        ask += ["--aws-sigv4", f"aws:amz:{REGION}:s3", "--request", "PUT"]
        ask += [f"https://{key}:{SECRET}@{self.address}:{PORT}/{bucket}"]
        limit = time.monotonic() + LIMIT
        while (told := process(["docker", "exec", self.container, *ask]))[1] not in ("200", "409"):
            assert time.monotonic() < limit, (told, docker("logs", "--tail=50", self.container, check=False))
            time.sleep(0.3)  # between two attempts
