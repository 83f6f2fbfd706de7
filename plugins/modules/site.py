#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""See and change which of two sites serves, one host at a time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site
short_description: See and change which of two sites serves
version_added: 0.6.0
author: Slipway contributors (@slipway)
description:
  - One host's part in the change of sites that playbooks/site_failover.yml and site_failback.yml make. Acts
    where the host's PostgreSQL member leads its site; elsewhere it does nothing.
  - Runs on hosts of the other site, too, delegated there.
options:
  state:
    description:
      - V(seen) tells how this host's member stands.
      - V(judged), on the control node, raises with all that stands against promoting this site.
      - V(stopped) stops the primary cleanly and keeps it stopped; it ends when the other site has every byte.
      - V(resumed) takes that back.
      - V(received) waits until this site has replayed O(lsn).
      - V(promoted) has this site serve, and commits a write.
      - V(following) has this site follow the other one; O(await) says whether until it streams.
    type: str
    choices: [seen, judged, stopped, resumed, received, promoted, following]
    default: seen
  of:
    description: Whose host this task is delegated to, V(own) or V(other).
    type: str
    choices: [own, other]
    default: own
  await:
    description: Whether V(following) waits until this site streams.
    type: bool
    default: false
  lsn:
    description: A position in the WAL, as V(stopped) returned it.
    type: int
    default: 0
  at:
    description:
      - Seconds since 1970, after which this site is promoted. The later one of two sites serves, so it
        becomes a second more than this, and than any promotion that this site knows of.
    type: int
    default: 0
  wait:
    description: Seconds to wait.
    type: int
    default: 120
  own:
    description: Results of V(seen) of this site's hosts, for V(judged).
    type: list
    elements: dict
    default: []
  other:
    description: Those of the other site's.
    type: list
    elements: dict
    default: []
  host:
    description: Inventory name of the host of the other site that the task is delegated to.
    type: str
    default: ""
  planned:
    description: Whether the other site is to hand over, for V(judged).
    type: bool
    default: false
  lost:
    description: Whether it is to be replaced without handing over.
    type: bool
    default: false
  members:
    description: Addresses of the site to follow. Set by the action plugin.
    type: list
    elements: str
    default: []
  container:
    description: This host's PostgreSQL container. Set by the action plugin.
    type: str
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
  version:
    description: Major version of PostgreSQL that the stack has. Set by the action plugin.
    type: int
    default: 17
  run:
    description: Id of the run, which shows life where it holds the lock. Set by the action plugin.
    type: str
    default: ""
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: See how this site stands
  slipway.compose.site:
  become: true
  register: __site_seen
"""

RETURN = r"""
host:
  description: Inventory name of the host.
  type: str
  returned: success
  sample: app-1.example.com
site:
  description: What this host told, or did; keys by O(state).
  type: dict
  returned: success
  sample: {known: true, follows: true, leads: true, streams: true, lsn: 83886528}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.locking.lock import LOCK_FILE, alive_if_held
from ..module_utils._core.postgresql.site_member import SiteMember
from ..module_utils._core.stack.postgres_version import OLDEST, Place

STATES = ["seen", "judged", "stopped", "resumed", "received", "promoted", "following"]
ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": STATES, "default": "seen"},
    "of": {"type": "str", "choices": ["own", "other"], "default": "own"},
    "await": {"type": "bool", "default": False},
    "lsn": {"type": "int", "default": 0},
    "at": {"type": "int", "default": 0},
    "wait": {"type": "int", "default": 120},
    "own": {"type": "list", "elements": "dict", "default": []},
    "other": {"type": "list", "elements": "dict", "default": []},
    "host": {"type": "str", "default": ""},
    "planned": {"type": "bool", "default": False},
    "lost": {"type": "bool", "default": False},
    "members": {"type": "list", "elements": "str", "default": []},
    "container": {"type": "str"},
    "stack": {"type": "str"},
    "version": {"type": "int", "default": OLDEST},
    "run": {"type": "str", "default": ""},
}


def act(member: SiteMember, params: dict[str, Any]) -> dict[str, Any]:
    state, wait = params["state"], params["wait"]
    if state == "stopped":
        return member.stop()
    if state == "resumed":
        return member.resume()
    if state == "received":
        return member.wait_for(params["lsn"], wait)
    if state == "promoted":
        return member.promote(params["at"], wait)
    if state == "following":
        told = member.follow(params["members"])
        return told | (member.wait_until_streaming(wait) if params["await"] else {})
    return member.seen()


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    if not module.get_bin_path("docker"):
        # A host that is yet to be provisioned.
        module.exit_json(changed=False, site={"known": False, "absent": True})
    with reporting(module), alive_if_held(Path("/opt") / params["stack"] / LOCK_FILE, params["run"]):
        member = SiteMember(runner(module), params["container"], place=Place(params["version"]))
        changes = params["state"] not in ("seen", "received")
        site = member.seen() if module.check_mode else act(member, params)
        if module.check_mode and changes:
            module.exit_json(changed=bool(site.get("leads")), site=site)
        done = any(bool(site.get(key)) for key in ("stopped", "resumed", "promoted", "changed"))
        module.exit_json(changed=changes and done, site=site)


if __name__ == "__main__":
    main()
