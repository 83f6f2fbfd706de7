#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archive, list and restore what is no database."""

from __future__ import annotations

DOCUMENTATION = r"""
module: archive
short_description: Archive, list and restore what is no database
version_added: 0.4.0
author: Slipway contributors (@slipway)
description:
  - Redis, each host's configuration with its secrets and certificates, and named volumes, in restic
    repositories on the host that keeps the stack's backups (C(stack.components.backup.archive)).
options:
  state:
    description:
      - V(ready) has the first archive begin where there never was one. Where a release serves that is from
        before the stack kept an archive, there is none to begin.
      - V(taken) archives now.
      - V(copied), on the host that keeps the archives, has the second place hold the same now
        (C(stack.components.backup.second)). Where there is none, nothing is done.
      - V(listed), on the host that keeps the archives, tells which there are.
      - V(refilled) fetches, onto the host that keeps the archives, what only the second place has. For when
        that host was lost. Nothing is replaced; where nothing is missing, nothing is done.
      - V(restored) brings O(what) back from O(snapshot).
    type: str
    choices: [ready, taken, copied, listed, refilled, restored]
    required: true
  what:
    description:
      - V(redis) writes every key of a snapshot into the master that serves, in place of what has its name.
        Other keys stay.
      - V(files) puts a host's configuration beside what serves, which belongs to the release.
      - V(volume:<name>) exchanges a volume's data while its containers stand still. What it held is kept.
    type: str
  snapshot:
    description:
      - V(latest), or the beginning of an archive's id.
      - V(refilled) is the newest that came back from the second place, whatever was archived since.
    type: str
    default: latest
  repository:
    description: Whose archives are V(listed); V(2) is the second place.
    type: int
    choices: [1, 2]
    default: 1
  "on":
    description:
      - Host to restore on. Needed for a volume that several hosts have. Without it V(redis) comes back
        through its first host, and V(files) on every host.
    type: str
    default: ""
  confirm:
    description: Name of the stack, as consent to a restore.
    type: str
    default: ""
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Archive now
  slipway.compose.archive:
    state: taken
  become: true

- name: Fetch all archives from the second place, after the host that keeps them was lost
  slipway.compose.archive:
    state: refilled
  become: true

- name: Bring yesterday's keys back
  slipway.compose.archive:
    state: restored
    what: redis
    snapshot: 3f2a9c0d
    confirm: shop
  become: true
"""

RETURN = r"""
steps:
  description: What was done, one line each.
  type: list
  elements: str
  returned: always
  sample: ["files: archive 3f2a9c0d, 84 files, 0.3 MB new", "redis: it is the turn of 10.0.0.2"]
archives:
  description: What there is, the oldest first.
  type: list
  elements: dict
  returned: state is listed
  sample: [{of: redis, id: 3f2a9c0d, time: "2026-11-27 03:04 UTC", taken_on: app-2.example.com}]
refilled:
  description:
    - The newest archive that came back from the second place, by what it is of, C(redis) or a host.
    - Also those that came back in an earlier run; empty where none ever did.
  type: dict
  returned: state is refilled, not in check mode
  sample: {redis: 3f2a9c0d, app-1.example.com: 77d0e1f2}
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting
from ..module_utils._core.archive import archive_second
from ..module_utils._core.archive.archive_host import SETTINGS
from ..module_utils._core.archive.archive_restore import restore
from ..module_utils._core.archive.archive_work import Archive

UNIT = "slipway-archive.service"
SYSTEMD = Path("/etc/systemd/system")
STATES = ["ready", "taken", "copied", "listed", "refilled", "restored"]
ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": STATES, "required": True},
    "what": {"type": "str"},
    "snapshot": {"type": "str", "default": "latest"},
    "repository": {"type": "int", "choices": [1, 2], "default": 1},
    "on": {"type": "str", "default": ""},
    "confirm": {"type": "str", "default": ""},
    "stack": {"type": "str"},
}


def ready(module: AnsibleModule, root: Path) -> dict[str, Any]:
    _code, state, _err = module.run_command(["systemctl", "is-active", UNIT])
    able = (root / SETTINGS).exists() and (SYSTEMD / UNIT).exists()
    if not able or Archive(root).begun() or state.strip() == "activating":
        return {"changed": False, "steps": []}
    # A day may pass until the first timer.
    module.run_command(["systemctl", "start", "--no-block", UNIT])
    return {"changed": True, "steps": ["the first archive begins"]}


def taken(archive: Archive) -> dict[str, Any]:
    steps: list[str] = []
    archive.take(steps.append)
    return {"changed": True, "steps": steps}


def copied(archive: Archive) -> dict[str, Any]:
    steps: list[str] = []
    archive.copy(steps.append)
    return {"changed": bool(steps), "steps": steps}


def refilled(module: AnsibleModule, archive: Archive) -> dict[str, Any]:
    if module.check_mode:
        absent = archive_second.lost(archive.host)
        steps = [f"{name}: {len(those)} would come back" for name, those in absent.items()]
        return {"changed": bool(steps), "steps": steps}
    steps = []
    archive_second.refill(archive.host, steps.append)
    there = {
        name.removeprefix("host-"): it.short for name, it in archive_second.returned(archive.host).items()
    }
    return {"changed": bool(steps), "steps": steps, "refilled": there}


def listed(module: AnsibleModule, archive: Archive) -> dict[str, Any]:
    there = archive.listed() if module.params["repository"] == 1 else archive_second.listed(archive.host)
    archives = [
        {
            "of": repository.removeprefix("host-"),
            "id": it.short,
            "time": f"{it.time:%Y-%m-%d %H:%M} UTC",
            "taken_on": it.host,
        }
        for repository, found in there.items()
        for it in found
    ]
    lines = [f"{it['time']}  {it['id']}  {it['of']}, taken on {it['taken_on']}" for it in archives]
    return {"changed": False, "steps": lines, "archives": archives}


def restored(module: AnsibleModule, archive: Archive) -> dict[str, Any]:
    done = restore(archive.host, module.params["what"], module.params["snapshot"])
    told = f"from archive {done.snapshot.short} of {done.snapshot.time:%Y-%m-%d %H:%M} UTC: {done.told}"
    return {"changed": True, "steps": [told]}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_if=[("state", "restored", ("what",))],
    )
    state = module.params["state"]
    os.umask(0o022)
    if module.check_mode and state not in ("listed", "refilled"):
        module.exit_json(changed=state in ("taken", "copied", "restored"), steps=[])
    with reporting(module):
        root = Path("/opt") / module.params["stack"]
        if state == "ready":
            module.exit_json(**ready(module, root))
        archive = Archive(root)
        if state == "taken":
            module.exit_json(**taken(archive))
        if state == "copied":
            module.exit_json(**copied(archive))
        if state == "refilled":
            module.exit_json(**refilled(module, archive))
        if state == "listed":
            module.exit_json(**listed(module, archive))
        module.exit_json(**restored(module, archive))


if __name__ == "__main__":
    main()
