"""The only file of the core that knows Ansible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .errors import SlipwayError
from .run import Run

# The option that the documentation fragment `slipway.compose.slipway.prometheus` describes.
PROMETHEUS: dict[str, Any] = {
    "type": "dict",
    "options": {"host": {"type": "str", "required": True}, "port": {"type": "int", "required": True}},
}


def runner(module: AnsibleModule) -> Run:
    """Run commands through the module, so that Ansible logs and decodes them its own way."""

    def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        code, out, err = module.run_command(list(argv), data=stdin, environ_update={"LC_ALL": "C"})
        return int(code), str(out), str(err)

    return run


@contextmanager
def reporting(module: AnsibleModule) -> Iterator[None]:
    """Turn a known failure into a task failure; let a bug keep its traceback."""
    try:
        yield
    except SlipwayError as error:
        module.fail_json(msg=str(error), problem=error.problem, remedy=error.remedy)
