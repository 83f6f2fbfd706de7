#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep one of a host's own programs as it is on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_program
short_description: Keep one of a host's own programs as it is on the control node
version_added: 0.2.0
author: Slipway contributors (@slipway)
description:
  - A program is a folder below C(/usr/local/lib/slipway) that Python runs, C(python3 -I <folder>). Timers
    and services of the role C(host) start it.
  - It consists of its main file among the role's files and of the modules of Slipway's core which that
    imports, found by the action plugin.
  - Files are replaced by rename. What the folder has besides is removed.
options:
  name:
    description: The program, for example V(backup).
    type: str
    required: true
  files:
    description: What it consists of, paths to texts. Set by the action plugin.
    type: dict
    default: {}
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Install the program that takes and proves backups
  slipway.compose.host_program:
    name: backup
  become: true
"""

RETURN = r"""
files:
  description: Paths in the program's folder that were written or removed.
  type: list
  elements: str
  returned: always
  sample: [core/backup/backup_work.py]
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting
from ..module_utils._core.tree import File, differing, lay

PROGRAMS = Path("/usr/local/lib/slipway")
ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "files": {"type": "dict", "default": {}},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    folder = PROGRAMS / module.params["name"]
    texts = sorted(module.params["files"].items())
    files = [File(path, text, 0o644, os.geteuid()) for path, text in texts]
    with reporting(module):
        found = differing(folder, files)
        if found and not module.check_mode:
            # Whatever the host's own is: its timers' users must read it.
            os.umask(0o022)
            lay(folder, files)
    steps = "".join(f"{folder / path}\n" for path in found)
    module.exit_json(changed=bool(found), files=found, diff={"before": "", "after": steps})


if __name__ == "__main__":
    main()
