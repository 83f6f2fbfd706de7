"""Give this host its identity and, on the registry's host, the registry's own project."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..module_utils._core.images.image_catalog import REGISTRY, registry_catalog
from ..module_utils._core.images.registry_host import Identity, RegistryProject
from ..plugin_utils.image_folders import folders
from ..plugin_utils.registry_files import registry_address, registry_host, registry_project
from ..plugin_utils.render import COMPOSE_FOLDER
from ..plugin_utils.stack_action import Result, StackAction, material


class ActionModule(StackAction):
    """Which image the registry runs is decided here; whether it is there, on the host."""

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack, own = self.declared.stack, self.view.host.name
        keyring = material(self.declared, {})
        identity = Identity(keyring.ca, *keyring.certificates[own])
        epoch = str(arguments.pop("epoch", ""))
        options = {"address": registry_address(stack), **asdict(identity), **arguments}
        host = registry_host(stack).name
        if own == host:
            options |= _handed_over(self._project(identity, epoch))
        return {**self.module(options, task_vars), "host": host}

    def _project(self, identity: Identity, epoch: str) -> RegistryProject:
        stack = self.declared.stack
        catalog = registry_catalog(stack, folders(self.declared.checkout, epoch, self._loader))
        built = catalog.sources.get(REGISTRY)
        image = built.local if built else catalog.names[REGISTRY]
        return registry_project(stack, identity, image, built is not None, COMPOSE_FOLDER)


def _handed_over(project: RegistryProject) -> dict[str, Any]:
    files = [file.to_dict() for file in project.files]
    options = {key: value for key, value in asdict(project).items() if key != "files"}
    return {"project": {**options, "folder": str(project.folder)}, "files": json.dumps(files)}
