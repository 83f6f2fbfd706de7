"""Hosts that archive, and one that keeps: what is rendered, run by this engine."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Sequence

from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_work import Archive
from backup_cluster import Cluster, docker
from images import newest


class ArchiveCluster(Cluster):
    """Of all hosts but the first, everything is named as Compose names it."""

    def container(self, component: str, host: int = 1) -> str:
        own = component == "host" or host == 1
        return f"{self.name}-h{host}-{component}" if own else f"{self.stack.name}-{component}-1"

    def volume(self, name: str, host: int) -> str:
        return f"{self.name}-h1-{name}" if host == 1 else f"{self.stack.name}_{name}"

    def lay(self) -> None:
        """Hosts with their trees and the folders of a release; nothing runs on them yet."""
        subnet = self.stack.hosts[0].address.rpartition(".")[0]
        docker("network", "create", f"--subnet={subnet}.0/24", self.name)
        self.render()
        for index, host in enumerate(self.stack.hosts, 1):
            place = ["--network", self.name, "--ip", host.address, "--name", self.container("host", index)]
            docker("run", "--detach", "--init", *place, newest("redis"), "sleep", "infinity")
            root = self.folder / f"h{index}"
            (root / "releases/one").mkdir(parents=True)
            shutil.copy(root / "docker-compose.prod.yml", root / "releases/one")
            (root / "current").symlink_to("releases/one")
            (root / "state").mkdir()

    def archive(self, host: int) -> Archive:
        return Archive(self.folder / f"h{host}", self.command)

    @abstractmethod
    def command(self, argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        """What the host's program runs."""
