"""The environment's registry on its host, and the trust that every host's engine has in it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..docker import commands
from ..errors import SlipwayError
from ..run import Run
from ..tree import File, read_file, write_file

TRUST_FOLDER = Path("/etc/docker/certs.d")
COMPOSE_FILE = "docker-compose.prod.yml"
DIGEST_LABEL = "io.slipway.digest"
# Docker's words, and what to do: the registry is the first that is published on the host's address.
_NOT_ITS_ADDRESS = "cannot assign requested address"
_ADDRESS = "Set slipway_address to an address that this host has itself (`ip -4 address`), and run again"


@dataclass(frozen=True)
class Identity:
    """What an engine shows a registry, and what it accepts as its certificate."""

    ca: str
    certificate: str
    key: str


def trust_files(identity: Identity, owner: int = 0) -> list[File]:
    """The files that Docker reads in /etc/docker/certs.d/<address>; only root may read the key."""
    return [
        File("ca.crt", identity.ca, 0o644, owner),
        File("client.cert", identity.certificate, 0o644, owner),
        File("client.key", identity.key, 0o600, owner),
    ]


def changed_files(folder: Path, files: Sequence[File]) -> list[File]:
    """Those that are not on disk as they should be: text, mode or owner."""
    return [file for file in files if not _as_wanted(folder, file)]


def write_files(folder: Path, files: Sequence[File]) -> None:
    for file in files:
        write_file(folder / file.path, file)


def fingerprint(files: Sequence[File]) -> str:
    """Of everything that the registry's container stands on; it is told in the container's label."""
    return hashlib.sha256("".join(sorted(file.digest for file in files)).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RegistryProject:
    """The registry as its own Compose project, so that no release of the stack touches it.

    built: its image is built by us and must be in the engine; otherwise it is an upstream reference to pull.
    digest: fingerprint in the label of the container that should run.
    """

    name: str
    folder: Path
    image: str
    built: bool
    digest: str
    files: tuple[File, ...]

    def lacks_image(self, run: Run) -> bool:
        return run(commands.present_images([self.image]))[0] != 0

    def steps(self, run: Run) -> list[str]:
        """What must happen here; empty when the registry runs as it should."""
        steps = [f"write {self.folder / file.path}" for file in changed_files(self.folder, self.files)]
        state = self._state(run)
        return [*steps, f"start {self.name} ({state})"] if state else steps

    def bring_up(self, run: Run, timeout: int) -> None:
        if self.lacks_image(run):
            _checked(
                run,
                commands.pull(self.image),
                "Check that this host reaches the registry that stack.images names",
            )
        write_files(self.folder, changed_files(self.folder, self.files))
        file = str(self.folder / COMPOSE_FILE)
        if "unhealthy" in self._state(run):
            # It stays so until its next check, and `up` waits for none that is: it is looked at anew.
            _checked(run, commands.restart(self.name, file, "registry"), "Read `docker ps` on this host")
        try:
            _checked(
                run,
                commands.up(self.name, file, [], timeout),
                "Read its log, correct the cause and run again",
            )
        except SlipwayError as error:
            _code, out, err = run([*commands.compose(self.name, file), "logs", "--no-color", "--tail", "15"])
            remedy = _ADDRESS if _NOT_ITS_ADDRESS in error.problem else error.remedy
            raise SlipwayError(f"{error.problem}\n{out}{err}", remedy) from error

    def _state(self, run: Run) -> str:
        """Why the container has to be started or replaced; empty when it need not."""
        if shutil.which("docker") is None:
            return "no engine yet"  # true in check mode only, where the host is not provisioned
        form = f'{{{{.Label "{DIGEST_LABEL}"}}}}\t{{{{.State}}}}\t{{{{.Status}}}}'
        chosen = ["--all", "--filter", f"label=com.docker.compose.project={self.name}", "--format", form]
        told = _checked(
            run, ["docker", "ps", *chosen], "Check that Docker is running on this host"
        ).splitlines()
        if not told:
            return "not there"
        digest, state, status = told[0].split("\t", 2)
        if digest != self.digest:
            return f"{digest} -> {self.digest}"
        return "" if state == "running" and "healthy)" in status and "unhealthy" not in status else status


def load_image(run: Run, archive: Path) -> None:
    """Take an image from an archive that was carried here."""
    _checked(
        run,
        ["docker", "load", "--quiet", "--input", str(archive)],
        "Check the free space under /var/lib/docker",
    )


def _as_wanted(folder: Path, file: File) -> bool:
    path = folder / file.path
    return path.is_file() and read_file(folder, path) == file


def _checked(run: Run, argv: Sequence[str], remedy: str) -> str:
    code, out, err = run(argv)
    if code:
        raise SlipwayError(f"`{' '.join(argv[:3])}` failed: {(err or out).strip() or code}", remedy)
    return out
