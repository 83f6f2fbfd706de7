# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge an environment on the control node. Documented in plugins/modules/stack_check.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils._core.errors import InvalidInputError, SlipwayError
from ..plugin_utils import secrets
from ..plugin_utils.declared import declared, refuse_partial, warnings

ARGUMENT_SPEC = {"partial": {"type": "bool", "default": False}}


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        try:
            return result | self._check(arguments["partial"], task_vars or {})
        except SlipwayError as error:
            return result | {"failed": True, "msg": str(error)}

    def _check(self, partial: bool, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC)
        found = declared(task_vars, self._templar, self._loader)
        if not partial:
            refuse_partial(task_vars, found)
        wanting = secrets.problems(found.document, found.stack, found.secrets_path)
        problems = [*found.problems, *(wanting if found.document_read else ())]
        if problems:
            raise InvalidInputError(problems)
        return {
            "changed": False,
            "environment": found.environment,
            "stack": found.stack.name,
            "hosts": [host.name for host in found.stack.hosts],
            "warnings": warnings(found, now),
        }
