"""Render the registry's own Compose project; like `render`, with plain Jinja on the control node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.images.registry_host import COMPOSE_FILE, Identity, RegistryProject, fingerprint
from ..module_utils._core.stack.components import SLIPWAY_UID
from ..module_utils._core.stack.model import Host, Stack
from ..module_utils._core.stack.topology import PORTS
from ..module_utils._core.tree import File


def registry_host(stack: Stack) -> Host:
    """Where the registry runs."""
    name = stack.components.registry.hosts[0]
    return next(host for host in stack.hosts if host.name == name)


def registry_address(stack: Stack) -> str:
    """Host and port as they stand in every image reference."""
    return f"{registry_host(stack).address}:{stack.components.registry.port}"


def registry_project(
    stack: Stack, identity: Identity, image: str, built: bool, templates: Path
) -> RegistryProject:
    """The registry's Compose project; `templates` is the folder `compose` of the checkout."""
    name = f"{stack.name}-registry"
    context: dict[str, Any] = {
        "stack": stack,
        "host": registry_host(stack),
        "ports": PORTS,
        "image": image,
        "built": built,
        "root": f"/opt/{name}",
    }
    files = [
        File(
            "config/config.yml",
            _render(templates, "config/registry/config.yml.j2", context),
            0o400,
            SLIPWAY_UID,
        ),
        File("config/tls/ca.crt", identity.ca, 0o400, SLIPWAY_UID),
        File("config/tls/tls.crt", identity.certificate, 0o400, SLIPWAY_UID),
        File("config/tls/tls.key", identity.key, 0o400, SLIPWAY_UID),
    ]
    unmarked = _compose_file(templates, {**context, "digest": ""})
    digest = fingerprint([*files, unmarked])
    files.append(_compose_file(templates, {**context, "digest": digest}))
    return RegistryProject(name, Path(f"/opt/{name}"), image, built, digest, tuple(files))


def _compose_file(templates: Path, context: Mapping[str, Any]) -> File:
    return File(COMPOSE_FILE, _render(templates, "registry.yml.j2", context), 0o644, 0)


def _render(templates: Path, name: str, context: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # configuration files, not HTML
    )
    try:
        return environment.get_template(name).render(context)
    except jinja2.TemplateError as error:
        raise SlipwayError(f"compose/{name} does not render: {error}", "Correct the template") from error
