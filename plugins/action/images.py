"""Talk with the builder until the registry has every image, and print how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleActionFail

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.images.image_catalog import REGISTRY, catalog, registry_catalog
from ..module_utils._core.images.registry_host import Identity
from ..plugin_utils.image_folders import folders
from ..plugin_utils.image_publishing import Destination, Published, Publishing
from ..plugin_utils.registry_files import registry_address, registry_host
from ..plugin_utils.stack_action import Result, StackAction, material

# What the module is told by this plugin only; at the highest verbosity they would fill screens.
NOT_TOLD = ("invocation",)


class ActionModule(StackAction):
    """One call of the module when nothing is missing; otherwise as many as the builds take."""

    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        stack = self.declared.stack
        places = folders(self.declared.checkout, str(arguments.get("epoch", "")), self._loader)
        if arguments.get("seed", False):
            wanted = registry_catalog(stack, places)
            archive = None if self._builder() == registry_host(stack).name else REGISTRY
            destination = Destination(registry_address(stack), publish=False, archive=archive)
        else:
            wanted = catalog(self.topology, places)
            destination = Destination(registry_address(stack))
        common = {"address": destination.address, "publish": destination.publish, **self._identity()}
        common |= {"archive": destination.archive} if destination.archive else {}

        def ask(stage: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
            return self._checked(self.module({**common, "stage": stage, **options}, task_vars))

        def install(packages: Sequence[str]) -> None:
            options = {"name": list(packages), "install_recommends": False, "update_cache": True}
            self._checked(self._execute_module("ansible.builtin.apt", options, task_vars=dict(task_vars)))

        publishing = Publishing(ask, install, self._display.display, wanted, destination)
        if self._task.check_mode:
            return _result(publishing.preview())
        return _result(
            publishing.publish(int(arguments.get("parallel", 0)), int(arguments.get("timeout", 3600)))
        )

    def _builder(self) -> str:
        return str(self._task.delegate_to or self.view.host.name)

    def _identity(self) -> dict[str, str]:
        """The builder's own, where it is one of the hosts; else that of the registry's host."""
        keyring = material(self.declared, {})
        name = self._builder()
        known = name if name in self.topology.views else registry_host(self.declared.stack).name
        return asdict(Identity(keyring.ca, *keyring.certificates[known]))

    def _checked(self, result: Result) -> Result:
        if not result.get("failed"):
            return result
        if "problem" in result:
            raise SlipwayError(result["problem"], result["remedy"])
        raise AnsibleActionFail(
            f"On the builder {self._builder()}: {result.get('msg', 'the module failed')}",
            result={key: value for key, value in result.items() if key not in NOT_TOLD},
        )


def _result(published: Published) -> Result:
    text = "".join(f"{step}\n" for step in published.steps)
    return {
        "changed": published.changed,
        "images": dict(published.images),
        "archive": published.archive,
        "steps": list(published.steps),
        "warnings": list(published.warnings),
        "diff": {"before": "", "after": text},
    }
