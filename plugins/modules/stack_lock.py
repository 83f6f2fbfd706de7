#!/usr/bin/python
# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hold an environment for one run at a time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_lock
short_description: Hold an environment for one run at a time
version_added: 0.2.0
author: Slipway contributors (@slipway)
description:
  - Keeps C(/opt/<stack>/state/lock.json) on every host of an environment. It says who is at work, from where,
    for what and since when.
  - While a module of the run is at work on a host, it gives a sign of life there every two seconds. A lock
    without one on any host for O(silence) seconds is dead, and is taken over with a word about it. One
    whose C(ansible-playbook) is known to have ended is dead after six seconds.
  - A younger one is watched for up to 40 seconds. If it shows life the run is refused and told who holds it.
  - Holding takes up to four rounds over all hosts, each after the other; the role C(lock) makes them.
  - Keeping this book is no change of the host, so only V(broken) reports one. A dry run takes no lock.
options:
  state:
    description:
      - V(held) makes the next round of taking the lock; O(seen) tells of the one before. Without it, a run
        that holds the lock brings O(what), O(release) and O(silence) up to date.
      - V(released) gives it back if this run holds it.
      - V(shown) tells who holds it.
      - V(broken) removes the lock of the run that O(run) names, whoever holds it.
    type: str
    choices: [held, released, shown, broken]
    default: held
  what:
    description: What the run does, in a word, for those who are refused.
    type: str
    default: deploy
  release:
    description: Id of the release, if it is known.
    type: str
    default: ""
  silence:
    description:
      - Seconds without a sign of life after which others may take the lock over. Raise it before tasks that
        are not Slipway's and take long.
    type: int
    default: 30
  seen:
    description: Name of the variable that holds this module's last answer on each host.
    type: str
  run:
    description:
      - With O(state=broken), the first eight characters or more of the id of the run whose lock to break,
        as the refusal names it. A lock that somebody else has taken meanwhile stays.
      - Otherwise set by the action plugin.
    type: str
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
  claim:
    description: Who asks. Set by the action plugin.
    type: dict
    default: {}
  take:
    description: Whether to take the lock if it may be taken. Set by the action plugin.
    type: bool
    default: false
  over:
    description: Dead runs that may be replaced, with their last sign of life. Set by the action plugin.
    type: dict
    default: {}
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Hold the environment
  ansible.builtin.include_role:
    name: slipway.compose.lock
  vars:
    lock_what: deploy

- name: Say what is being released
  slipway.compose.stack_lock:
    what: deploy
    release: "{{ __release.release }}"
  become: true

- name: Give the environment back
  slipway.compose.stack_lock:
    state: released
  become: true

- name: Break the lock of a run that cannot go on
  slipway.compose.stack_lock:
    state: broken
    run: 3f2a9c1d
  become: true
"""

RETURN = r"""
held:
  description: Whether this run holds this host's copy of the lock.
  type: bool
  returned: when O(state=held)
turn:
  description: How many runs have held this host's copy, this one included.
  type: int
  returned: when this run holds it
lock:
  description:
    - Who holds this host's copy, or held it before O(state=broken); empty when nobody does.
    - C(beat) counts signs of life, C(silent) is the seconds since the last, C(turn) counts the runs that
      have held it.
  type: dict
  returned: always
  sample:
    run: 3f2a9c1d0b6a4f0d8a3c5e7f9b1d2c4e
    owner: ann
    control: laptop
    pid: 4711
    what: deploy
    release: 3f2a9c1d0b6a
    begun: "2026-11-22T14:02:11Z"
    silence: 30
    beat: 42
    silent: 1.3
    turn: 7
moved:
  description: Whether the lock of another run showed life while it was watched.
  type: bool
  returned: when O(state=held)
run:
  description: Id of this run, for the option C(run) of modules that give signs of life.
  type: str
  returned: when O(state=held)
round:
  description: Which round this was.
  type: int
  returned: when O(state=held)
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.locking.lock import LOCK_FILE, Claim, LockFile, Seen

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["held", "released", "shown", "broken"], "default": "held"},
    "what": {"type": "str", "default": "deploy"},
    "release": {"type": "str", "default": ""},
    "silence": {"type": "int", "default": 30},
    "seen": {"type": "str"},
    "run": {"type": "str"},
    "stack": {"type": "str"},
    "claim": {"type": "dict", "default": {}},
    "take": {"type": "bool", "default": False},
    "over": {"type": "dict", "default": {}},
}


def broken(lock: LockFile, run: str, check_mode: bool) -> tuple[Seen | None, bool]:
    """The lock that was there, and whether it was that run's and therefore removed."""
    found = lock.read()
    if len(run) < 8:
        raise SlipwayError(
            f"run is {run!r}, which names no run", "Write the eight characters that the refusal tells"
        )
    if found is None:
        return None, False
    if not found.claim.run.startswith(run):
        raise SlipwayError(
            f"the lock is not held by run {run} but by run {found.claim.run[:8]} "
            f"of {found.claim.owner}@{found.claim.control}",
            "Look again whether that one cannot go on either, before you name it",
        )
    return found, check_mode or lock.release(found.claim.run)


def result(module: AnsibleModule, lock: LockFile) -> dict[str, Any]:
    params, changed = module.params, False
    if params["state"] == "broken":
        found, changed = broken(lock, params["run"] or "", module.check_mode)
    elif params["state"] == "shown" or module.check_mode:
        found = lock.read()
    elif params["state"] == "released":
        lock.release(params["run"])
        found = lock.read()
    else:
        claim = Claim.from_dict(params["claim"])
        over = {run: int(beat) for run, beat in params["over"].items()}
        found = lock.take(claim, over) if params["take"] else lock.ask(claim)
    return {"changed": changed, "lock": found.to_dict() if found else {}}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    with reporting(module):
        lock = LockFile(Path("/opt") / module.params["stack"] / LOCK_FILE)
        module.exit_json(**result(module, lock))


if __name__ == "__main__":
    main()
