"""One host's Docker engine, as the release machinery sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import SlipwayError
from ..run import Run
from . import commands
from .compose_answers import ComposeAnswers

# More than a few parallel pulls only compete for the same disk.
PARALLEL_PULLS = 4
# From so many crashes on a container will not come up by itself: one may be a dependency that was late.
CRASHES = 2


@dataclass(frozen=True)
class Container:
    """One container: its Compose service, Compose's fingerprint of its definition, and how it is."""

    service: str
    hash: str
    state: str
    status: str
    id: str

    @property
    def running(self) -> bool:
        return self.state == "running"


class Engine:
    """Talks to Docker through an injected runner; knows nothing of Ansible."""

    def __init__(
        self, run: Run, project: str, answers: ComposeAnswers | None = None, *, still: bool = False
    ) -> None:
        """answers: what Compose has said before; None: it is asked each time.

        still: nobody starts or stops anything while this is asked, so one look at the containers is enough.
        """
        self._run = run
        self._project = project
        self._answers = answers
        self._still = still
        self._seen: list[Container] | None = None

    def containers(self) -> list[Container]:
        if self._seen is not None and self._still:
            return self._seen
        lines = self._checked(commands.containers(self._project)).splitlines()
        self._seen = [Container(*line.split("\t")) for line in lines if line.count("\t") == 4]
        return self._seen

    def service_hashes(self, file: str) -> dict[str, str]:
        """Compose's own fingerprint of every service in a file; fails where the file is not valid."""

        def ask() -> str:
            code, out, err = self._run(commands.service_hashes(self._project, file))
            if code:
                raise SlipwayError(
                    f"docker compose refuses {file}: {_last_line(err)}",
                    "Correct the stack definition (or the fragment under compose/services) that it names",
                )
            return out

        lines = self._answer("hashes", file, ask).splitlines()
        return dict(line.split(" ", 1) for line in lines if " " in line)

    def pull_missing(self, file: str) -> list[str]:
        """Pull what the file needs and the engine lacks; return the references pulled."""
        missing = self.missing_images(file)
        self.pull(missing)
        return missing

    def pull(self, images: Sequence[str]) -> None:
        with ThreadPoolExecutor(PARALLEL_PULLS) as pool:
            list(pool.map(self._pull, images))

    def missing_images(self, file: str) -> list[str]:
        names = self._answer("images", file, lambda: self._checked(commands.image_names(self._project, file)))
        needed = sorted(set(names.split()))
        if not self._run(commands.present_images(needed))[0]:
            return []
        return [image for image in needed if self._run(commands.present_images([image]))[0]]

    def up(self, file: str, services: Sequence[str], timeout: int | None) -> None:
        """Create, start or replace services and wait until each is healthy (running, without a check).

        timeout: None for no waiting, where somebody else looks whether they get ready, or crash instead.
        """
        code, _out, err = self._run(commands.up(self._project, file, services, timeout))
        if code:
            wanted = "start" if timeout is None else "become healthy"
            raise SlipwayError(
                f"{', '.join(services)} did not {wanted}: {_last_line(err)}{self.evidence(services)}",
                f"Read `docker compose -p {self._project} logs` here, correct the cause, deploy again",
            )

    def restart(self, file: str, service: str, timeout: int) -> None:
        self._checked(commands.restart(self._project, file, service))
        self.up(file, [service], timeout)

    def signal(self, file: str, service: str, name: str) -> None:
        self._checked(commands.signal(self._project, file, service, name))

    def memory_limits(self) -> dict[str, int]:
        """Bytes that each running service may use, by name."""
        running = [container for container in self.containers() if container.running]
        if not running:
            return {}
        told = self._checked(commands.memory_limits([container.id for container in running])).split()
        return {container.service: int(limit) for container, limit in zip(running, told, strict=True)}

    def image_folder(self) -> str:
        """Where the engine keeps images."""
        return self._checked(commands.image_folder()).strip()

    def restarts(self, service: str) -> int:
        """How often the engine has started a service's container again because it had ended."""
        found = [container.id for container in self.containers() if container.service == service]
        told = self._checked(commands.restarts(found)).split() if found else []
        return max(map(int, told), default=0)

    def stop(self, containers: Sequence[Container]) -> None:
        """Stop containers, which stay stopped over a restart of the host."""
        if containers:
            self._checked(commands.stop([container.id for container in containers]))

    def remove(self, containers: Sequence[Container]) -> None:
        ids = [container.id for container in containers]
        if ids:
            self._checked(commands.stop(ids))
            self._checked(commands.remove(ids))

    def remove_images(self, images: Sequence[str]) -> None:
        """Give their space back; what a container still uses, or somebody else tagged, stays."""
        if images:
            self._run(commands.remove_images(images))

    def check(self, image: str, user: int, config: str, command: Sequence[str]) -> None:
        """Let a component judge its own new configuration before anything running is touched."""
        code, out, err = self._run(commands.check(image, user, config, command))
        if code:
            told = _tail(err or out, 5)
            raise SlipwayError(
                f"`{' '.join(command)}` refuses the new configuration in {config}: {told}",
                "Correct the stack or the template; nothing was changed, what ran before still runs",
            )

    def _pull(self, image: str) -> None:
        code, _out, err = self._run(commands.pull(image))
        if code:
            raise SlipwayError(
                f"image {image} cannot be pulled: {_last_line(err)}",
                "Check that the registry answers from this host and that the reference exists there; "
                "where it wants a login: sudo docker login REGISTRY on every host",
            )

    def evidence(self, services: Sequence[str]) -> str:
        """The last words of the containers that are not well, for whoever reads the failure."""
        return self.last_words(it for it in self.containers() if it.service in services and _unwell(it))

    def last_words(self, containers: Iterable[Container]) -> str:
        words = ""
        for container in containers:
            _code, out, err = self._run(commands.logs(container.id, 8))
            words += f"\n--- {container.service} ({container.status}):\n{(out + err).strip()}"
        return words

    def _answer(self, question: str, file: str, ask: Callable[[], str]) -> str:
        return self._answers.of(question, file, ask) if self._answers else ask()

    def _checked(self, argv: Sequence[str]) -> str:
        code, out, err = self._run(argv)
        if code and "Cannot connect to the Docker daemon" in err:
            raise SlipwayError(
                "the Docker engine of this host does not answer", "Start it: `systemctl start docker`"
            )
        if code:
            raise SlipwayError(
                f"`{' '.join(argv[:3])}` failed: {_last_line(err) or code}",
                "Check that Docker is running on this host: `systemctl status docker`",
            )
        return out


def _unwell(container: Container) -> bool:
    return not container.running or "unhealthy" in container.status or "starting" in container.status


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _tail(text: str, count: int) -> str:
    return " | ".join(text.strip().splitlines()[-count:])
