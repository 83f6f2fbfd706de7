"""Files on the control node that a stack names: do they exist, and will they do?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ..module_utils._core.data_care.subject import judged
from ..module_utils._core.errors import Problem, SlipwayError
from ..module_utils._core.migration.migrations_folder import check_names
from ..module_utils._core.monitoring.console import default_domain
from ..module_utils._core.stack.model import Stack
from ..module_utils._core.stack.model_service import Service
from . import dashboard_files, pki
from .minting import edge_names
from .secrets import readable, supplied

_TLS_PATH = "stack/components/edge/tls"


def problems(stack: Stack, checkout: Path, now: datetime) -> Iterator[Problem]:
    """Everything wrong with the folders and files that the stack names."""
    for service in stack.services.values():
        path = f"stack/services/{service.name}"
        yield from _build(service, f"{path}/build", checkout)
        yield from _migrations(service, f"{path}/migrations", checkout)
    yield from _certificate(stack, checkout, now)
    yield from _subject(stack, checkout)
    yield from dashboard_files.problems(stack, checkout)


def covered(stack: Stack, checkout: Path) -> tuple[Stack, tuple[str, ...]]:
    """The stack without a console that its user's own certificate does not cover, and a remark on it.

    Where its domain is declared, `problems` refuses such a certificate.
    """
    console, pair = stack.components.console, supplied(stack, checkout)
    if console is None or pair is None or console.domain != default_domain(stack.domain):
        return stack, ()
    if pki.covers(pair, console.domain):
        return stack, ()
    remark = (
        f"There is no console: the edge's certificate does not cover {console.domain}. "
        "Supply one that does, name a domain that it covers as components.console.domain, or write "
        "console: false."
    )
    return replace(stack, components=replace(stack.components, console=None)), (remark,)


def _build(service: Service, path: str, checkout: Path) -> Iterator[Problem]:
    if not service.build:
        return
    folder = checkout / service.build
    if not folder.is_dir():
        yield Problem(path, f"{service.build} is not a folder", f"Name a folder below {checkout}")
    elif not (folder / "Dockerfile").is_file():
        yield Problem(path, f"{service.build} holds no Dockerfile", "Add one, or name the folder that has it")


def _migrations(service: Service, path: str, checkout: Path) -> Iterator[Problem]:
    if not service.migrations:
        return
    folder = checkout / service.migrations
    if not folder.is_dir():
        yield Problem(path, f"{service.migrations} is not a folder", f"Name a folder below {checkout}")
        return
    for fault in check_names(file.name for file in folder.iterdir()):
        yield Problem(path, f"in {service.migrations}, {fault.problem}", fault.remedy)


def _subject(stack: Stack, checkout: Path) -> Iterator[Problem]:
    for name, care in stack.data.databases.items():
        for what, file in (("export", care.subject.export), ("erase", care.subject.erase)):
            path = f"stack/data/databases/{name}/subject/{what}"
            if not file:
                continue
            if not (checkout / file).is_file():
                yield Problem(path, f"{file} is not a file", f"Name a file below {checkout}")
                continue
            try:
                judged(file, (checkout / file).read_text(encoding="utf-8"), what)
            except SlipwayError as fault:
                yield Problem(path, fault.problem, fault.remedy)


def _certificate(stack: Stack, checkout: Path, now: datetime) -> Iterator[Problem]:
    tls = stack.components.edge.tls
    for key, name in (("certificate", tls.certificate), ("key", tls.key)):
        if name and not readable(checkout / name):
            problem = f"{name} is not a file that you may read"
            yield Problem(
                f"{_TLS_PATH}/{key}", problem, f"Name a file below {checkout}, or let your user read it"
            )
    pair = supplied(stack, checkout)
    for fault in pki.faults(pair, [name for name in edge_names(stack) if name], now) if pair else ():
        yield Problem(_TLS_PATH, fault.problem, fault.remedy)
