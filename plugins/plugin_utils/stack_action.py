"""What every action plugin of a stack shares: the declared environment in, one honest result out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.stack.topology import topology
from . import dashboard_files, own_rules, packed_modules, secrets, unpacked_modules
from .declared import Declared, declared
from .native import native
from .render import Material
from .this_run import this_run

Result = dict[str, Any]


class StackAction(ActionBase):
    """An action that knows the stack and the host it is for; subclasses say what the module gets."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> Result:
        variables = task_vars or {}
        result: Result = super().run(tmp, variables)
        try:
            self.declared = declared(variables, self._templar, self._loader).valid()
            self.topology = topology(self.declared.stack)
            self.view = self.topology.views[variables["inventory_hostname"]]
            return {**result, **self.act(native(self._task.args), variables)}
        except SlipwayError as error:
            return {
                **result,
                "failed": True,
                "msg": str(error),
                "problem": error.problem,
                "remedy": error.remedy,
            }

    def lock_holder(self) -> str:
        """The run that must hold the environment's lock for what this task changes; nobody in a dry run."""
        return "" if self._task.check_mode else this_run().id

    @abstractmethod
    def act(self, arguments: Any, task_vars: Mapping[str, Any]) -> Result:
        """Do the task for this host; `arguments` are the task's own."""

    def module(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Result:
        """Run the module of this action's name on the host."""
        self._by_name = True
        result: Result = self._execute_module(module_args=dict(arguments), task_vars=task_vars)
        if unpacked_modules.ABSENT in result:
            self._by_name = False
            result = self._execute_module(module_args=dict(arguments), task_vars=task_vars)
        packed_modules.keep()
        return result

    def _configure_module(
        self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]
    ) -> tuple[Any, str]:
        built, path = super()._configure_module(module_name, module_args, task_vars)
        # What root runs, only root may keep.
        if module_name != self._task.action or self._connection.become is None:
            return built, path
        package = unpacked_modules.package(built.b_module_data)
        if package is None:
            return built, path
        # A dry run leaves nothing behind, not even this.
        keep = built.b_module_data if self._task.check_mode else package.to_keep()
        return replace(built, b_module_data=package.by_name() if self._by_name else keep), path


def material(declared: Declared, images: Mapping[str, str]) -> Material:
    """Everything a rendering of this environment needs."""
    keyring = secrets.material(declared.stack, declared.document, declared.checkout)
    folders = {
        service.name: declared.checkout / service.migrations
        for service in declared.stack.services.values()
        if service.migrations
    }
    other = secrets.ca(declared.other_document)
    return Material(
        images,
        keyring.secrets,
        keyring.ca,
        keyring.certificates,
        folders,
        declared.environment,
        dashboard_files.own(declared.stack, declared.checkout),
        other.certificate if other else "",
        runbooks=own_rules.runbooks(declared.stack, declared.checkout),
    )


def host_tls(stack: str) -> dict[str, str]:
    """Where modules find their host's certificate, on the host."""
    folder = f"/opt/{stack}/config/host/tls"
    return {"ca": f"{folder}/ca.crt", "certificate": f"{folder}/tls.crt", "key": f"{folder}/tls.key"}
