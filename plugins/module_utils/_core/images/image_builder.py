"""Make images with a Docker engine and carry them to the registry; every command's words go to a log file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SlipwayError

# The machine's own trust, for downloads inside builds; mounted for one RUN, never part of an image.
CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Item:
    """One image as the builder sees it: what it is called, and with which arguments it is built."""

    name: str
    repository: str
    tag: str
    arguments: Mapping[str, str]
    on_base: bool

    @property
    def local(self) -> str:
        return f"{self.repository}:{self.tag}"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Item:
        arguments = {str(name): str(value) for name, value in (values["arguments"] or {}).items()}
        return cls(values["name"], values["repository"], values["tag"], arguments, bool(values["on_base"]))


class Shell:
    """Runs one command after another into log files, none beyond the deadline."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def __call__(self, argv: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
        with log.open("ab") as stream:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
                start_new_session=True,
            )
            try:
                return process.wait(timeout=max(self._deadline - time.time(), 0.1))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                raise SlipwayError(
                    f"`{' '.join(argv[:2])}` was ended: the time for all images is up",
                    "Allow more with images_timeout, or read in the log on the builder what is slow",
                ) from None


class ImageBuilder:
    """Knows how one image is built, pulled, published and saved."""

    def __init__(self, docker: str, shell: Shell, logs: Path, address: str) -> None:
        self._docker = docker
        self._shell = shell
        self._logs = logs
        self._address = address

    def published_name(self, item: Item) -> str:
        return f"{self._address}/{item.local}"

    def has(self, item: Item) -> bool:
        return self._try(item, [self._docker, "image", "inspect", "--format", "{{.Id}}", item.local]) == 0

    def build(self, item: Item, context: Path) -> None:
        script = context / "build.sh"
        if script.exists():
            self._checked(item, [str(script), item.local], item.arguments)
            return
        recipe = (context / "Dockerfile").read_text(encoding="utf-8")
        self._checked(item, build_command(self._docker, item, context, recipe), {"DOCKER_BUILDKIT": "1"})

    def pull(self, item: Item) -> None:
        self._checked(item, [self._docker, "pull", "--quiet", self.published_name(item)])
        self._checked(item, [self._docker, "tag", self.published_name(item), item.local])
        self._checked(item, [self._docker, "rmi", self.published_name(item)])

    def publish(self, item: Item) -> None:
        self._checked(item, [self._docker, "tag", item.local, self.published_name(item)])
        self._checked(item, [self._docker, "push", self.published_name(item)])
        self._checked(item, [self._docker, "rmi", self.published_name(item)])

    def save(self, item: Item, archive: Path) -> None:
        """An archive file, complete or not there at all."""
        partial = archive.with_name(f".{archive.name}.partial")
        self._checked(item, [self._docker, "save", "--output", str(partial), item.local])
        partial.chmod(0o644)
        partial.rename(archive)

    def last_words(self, item: Item, lines: int = 30) -> list[str]:
        log = self._log(item)
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        # BuildKit puts a digest below every step's name.
        return [line for line in text.splitlines() if line.strip() and " sha256:" not in line][-lines:]

    def _log(self, item: Item) -> Path:
        return self._logs / f"{item.local.replace('/', '_').replace(':', '_')}.log"

    def _try(self, item: Item, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        return self._shell(argv, self._log(item), environment or {})

    def _checked(self, item: Item, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        if self._try(item, argv, environment):
            what = f"`{Path(argv[0]).name} {argv[1]}`"
            raise SlipwayError(
                f"{what} failed for image {item.name}",
                f"Correct the cause (the whole log is {self._log(item)} on the builder) and run again",
            )


def build_command(docker: str, item: Item, context: Path, recipe: str) -> list[str]:
    """`docker build`; proxies are only named: their values come from the environment, never from argv."""
    argv = [docker, "build", "--progress", "plain", "--tag", item.local]
    argv += ["--label", f"io.slipway.image={item.name}"]
    for name, value in sorted(item.arguments.items()):
        argv += ["--build-arg", f"{name}={value}"]
    for name in PROXY_VARIABLES:
        argv += ["--build-arg", name] if os.environ.get(name) else []
    if "id=ca_bundle" in recipe:
        argv += ["--secret", f"id=ca_bundle,src={ca_bundle()}"]
    return [*argv, str(context)]


def ca_bundle() -> str:
    """The file that holds every CA this machine trusts."""
    for path in (os.environ.get("SSL_CERT_FILE"), *CA_BUNDLES):
        if path and Path(path).is_file():
            return path
    raise SlipwayError("this machine has no CA bundle", "Install the package ca-certificates on the builder")
