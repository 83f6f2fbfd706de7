"""Render every host's tree on the control node: hosts need no checkout and see only what is theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..module_utils._core.backup import rebuild
from ..module_utils._core.release import handover
from ..module_utils._core.tree import File, release_id
from ..plugin_utils.once_a_run import once_a_run
from ..plugin_utils.render import Material, render
from ..plugin_utils.stack_action import Result, StackAction, material

# Shorter values are ordinary words, too; the platform refuses secrets this short anyway.
SHORTEST_SECRET = 8
# Files of secrets, short or derived ones among them, such as verifiers of passwords.
ALWAYS = ("config/console/users", "config/host/", "config/jobs/", "config/pgbouncer/", "config/services/")


class ActionModule(StackAction):
    """Prepare needs the files; committing needs only to know which release."""

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        images = arguments.pop("images", {})
        wanted = arguments.pop("from_backup", {})
        watchdogs = frozenset(arguments.pop("watchdogs", []))
        arguments["stack"] = self.declared.stack.name
        arguments["keep"] = self.declared.stack.keep_releases
        arguments["protected"] = list(self.declared.stack.protected_releases)
        arguments["units"] = handover.units(self.view, images)
        arguments["routers"] = handover.routers(self.topology)
        arguments["replicas"] = handover.replicas(self.topology, self.view)
        arguments["own_routers"] = handover.own_routers(self.view)
        arguments["targets"] = handover.targets(self.topology, self.view)
        arguments["run"] = self.lock_holder()
        if arguments.get("state", "prepared") == "prepared":
            arguments["leaders"] = handover.leaders(self.topology)
            arguments["backup_age"] = handover.backup_age(self.topology, self.view)
            arguments["prometheus"] = handover.budgets(self.topology, self.view)
            arguments["image_paths"] = handover.image_paths(self.topology, images)
        if arguments.get("state", "prepared") != "prepared" or arguments.get("release"):
            return self.module(arguments, task_vars)
        ingredients = replace(
            material(self.declared, images), bootstrap=self._bootstrap(wanted), watchdogs=watchdogs
        )
        # The release is named by the trees of all hosts, so every host needs them.
        trees = once_a_run(("trees", self.declared.stack, ingredients), lambda: self._trees(ingredients))
        arguments["release"] = release_id(trees)
        arguments["files"] = json.dumps([file.to_dict() for file in trees[self.view.host.name]])
        arguments["confidential"] = confidential(trees[self.view.host.name], secret_texts(ingredients))
        return self.module(arguments, task_vars)

    def _bootstrap(self, wanted: Mapping[str, Any]) -> str:
        backup = self.declared.stack.components.backup
        repositories = (2 if backup.second else 1) if backup else 0
        return rebuild.bootstrap(self.declared.stack.name, wanted, repositories, datetime.now(UTC))

    def _trees(self, ingredients: Material) -> dict[str, list[File]]:
        return {name: render(self.topology, view, ingredients) for name, view in self.topology.views.items()}


def secret_texts(ingredients: Material) -> set[str]:
    """Every text that must not be seen, in each form in which a template writes it."""
    keys = [line for _public, key in ingredients.certificates.values() for line in key.splitlines()]
    secrets = ingredients.secrets.values()
    # Of a list of headers each value is a secret of its own.
    headers = [line.partition(":")[2].strip() for text in secrets for line in text.splitlines()]
    plain = [text for text in [*secrets, *headers, *keys] if len(text) >= SHORTEST_SECRET]
    return {form for text in plain for form in (text, text.encode().hex(), *_written(text))}


def _written(text: str) -> tuple[str, str]:
    """In JSON, and where a dollar sign begins a variable, too."""
    quoted = json.dumps(text)[1:-1]
    return quoted, quoted.replace("$", "$$")


def confidential(files: Sequence[File], texts: Set[str]) -> list[str]:
    """The files that hold a secret, and those that are nothing else."""
    holding = [file.path for file in files if any(text in file.content for text in texts)]
    return [*ALWAYS, *(path for path in holding if not path.startswith(ALWAYS))]
