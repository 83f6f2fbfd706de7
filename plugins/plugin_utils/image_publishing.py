"""The conversation with a builder: ask what is missing, send only that, follow the job."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.images.image_catalog import BASE, Catalog
from ..module_utils._core.images.image_sources import Source, pack

# A build folder travels inside a module call; this is where that stops being sensible.
LARGEST_CONTEXT = 64 * 1024 * 1024

# Another run's job is followed to its end before ours starts; more than a few of them is a fault.
ATTEMPTS = 4

# What a job may take beyond its own limit to end its last command.
GRACE = 60


class Ask(Protocol):
    """Call the module `images` on the builder with one stage and its options."""

    def __call__(self, stage: str, options: Mapping[str, Any]) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Published:
    """Where everything is. steps: what was (or in check mode would be) done."""

    images: Mapping[str, str]
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    changed: bool
    archive: str


@dataclass(frozen=True)
class Destination:
    """The registry, or (publish False) the builder's engine and an archive file of one image."""

    address: str
    publish: bool = True
    archive: str | None = None


class Publishing:
    """One run over one catalog."""

    def __init__(
        self,
        ask: Ask,
        install: Callable[[Sequence[str]], None],
        say: Callable[[str], None],
        catalog: Catalog,
        destination: Destination,
    ) -> None:
        self._ask = ask
        self._install = install
        self._say = say
        self._catalog = catalog
        self._destination = destination

    def preview(self) -> Published:
        return self._published(self._compare())

    def publish(self, parallel: int, timeout: int) -> Published:
        """Build and publish what is missing; one question is all when nothing is."""
        first = told = self._compare()
        for _attempt in range(ATTEMPTS):
            if not told["missing"]:
                return self._published(told, first)
            self._prepare(told["packages"])
            own = self._build(told, parallel, timeout)
            self._follow(own, timeout)
            told = self._compare()
        raise SlipwayError(
            f"the builder is done, yet the registry lacks {', '.join(told['missing'])}",
            "Read /var/lib/slipway-images/logs on the builder; does somebody delete from the registry?",
        )

    def _compare(self) -> Mapping[str, Any]:
        images = [_described(source) for source in self._catalog.sources.values()]
        return self._ask("compare", {"images": images, "upstream": sorted(self._catalog.upstream)})

    def _prepare(self, packages: Sequence[str]) -> None:
        if packages:
            self._say(f"images: installing {', '.join(packages)} on the builder")
            self._install(packages)

    def _build(self, told: Mapping[str, Any], parallel: int, timeout: int) -> bool:
        """Start the job; False when somebody else's is running."""
        sources = self._catalog.sources
        wanted = {*told["missing"], *([BASE] if self._base_needed(told) else [])}
        names = [name for name in sources if name in wanted]
        options = {
            "images": [_described(sources[name]) for name in names],
            "contexts": {name: _packed(sources[name]) for name in names if name in told["building"]},
            "published": sorted(told["present"]),
            "parallel": parallel,
            "timeout": timeout,
        }
        return bool(self._ask("build", options)["started"])

    def _base_needed(self, told: Mapping[str, Any]) -> bool:
        return any(self._catalog.sources[name].on_base for name in told["building"])

    def _follow(self, own: bool, timeout: int) -> None:
        """Print what the job tells until it ends. Another run's failure is that run's business."""
        if not own:
            self._say("images: another run is building on this machine; following it first")
        seen, limit, last = 0, time.monotonic() + timeout + GRACE, {}
        while time.monotonic() < limit:
            told = self._ask("follow", {"seen": seen})
            for last in told["events"]:
                self._tell(last)
            seen += len(told["events"])
            if own and last.get("event") == "failed":
                raise SlipwayError(last["problem"], last["remedy"])
            if not told["going_on"]:
                break
        if own and last.get("event") != "finished":
            raise SlipwayError(
                "the build job ended without a result",
                "Read /var/lib/slipway-images/logs/job.log there, then run again: what was built is kept",
            )

    def _tell(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "building":
            self._say(f"images: building {event['image']}")
        if event["event"] == "log":
            for line in event["lines"]:
                self._say(f"images: {event['image']}: {line}")
        if event["event"] == "done":
            progress = f"{event['done']}/{event['total']}"
            self._say(f"images: {event['how']} {event['image']} ({progress}), {event['seconds']} s")

    def _published(self, told: Mapping[str, Any], first: Mapping[str, Any] | None = None) -> Published:
        first = first or told
        steps = [f"build {name}" for name in first["building"]]
        if self._destination.publish:
            steps += [f"publish {name}" for name in first["missing"]]
        elif self._destination.archive in first["missing"]:
            steps.append(f"save {self._destination.archive}")
        built = {
            name: self._reference(source, told["present"].get(name))
            for name, source in self._catalog.sources.items()
        }
        images = self._catalog.references(built, told["resolved"])
        changed = bool(steps) or bool(first["changed"])
        return Published(images, tuple(steps), tuple(told["remarks"]), changed, told["archive"])

    def _reference(self, source: Source, digest: str | None) -> str:
        """Pinned by digest; by tag where there is none yet (check mode) or never (in an engine)."""
        if not self._destination.publish:
            return source.local
        place = f"{self._destination.address}/{source.repository}"
        return f"{place}@{digest}" if digest else f"{place}:{source.tag}"


def _described(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "repository": source.repository,
        "tag": source.tag,
        "arguments": dict(source.arguments),
        "on_base": source.on_base,
    }


def _packed(source: Source) -> str:
    context = pack(source)
    if len(context) > LARGEST_CONTEXT:
        raise SlipwayError(
            f"build folder {source.name} is {len(context) >> 20} MiB packed, too much to send to a builder",
            "Name what the build does not need in its .dockerignore",
        )
    return base64.b64encode(context).decode()
