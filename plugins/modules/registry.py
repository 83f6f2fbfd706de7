#!/usr/bin/python
# GPL-3.0-or-later
"""Let a host's engine trust the environment's registry, and run the registry where it belongs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry
short_description: Trust the environment's image registry, and run it on its host
description:
  - Writes C(/etc/docker/certs.d/<address>/) so that this host's engine knows the registry by the
    environment's CA and shows it the host's own certificate; nobody needs a password.
  - On the registry's own host, keeps the registry running as a Compose project of its own.
  - The action plugin of the same name fills in every option from the stack definition and the secrets.
version_added: "0.1.0"
author: Slipway contributors
attributes:
  check_mode: {support: full, description: Predicts every change without making it.}
  diff_mode: {support: full, description: Shows the steps that would run, one per line.}
options:
  epoch:
    description: Another value rebuilds the image with the newest packages. Read by the action plugin.
    type: str
    default: ""
  address:
    description: Address and port of the registry.
    type: str
    required: true
  ca:
    description: PEM of the environment's CA.
    type: str
    required: true
  certificate:
    description: PEM of this host's certificate.
    type: str
    required: true
  key:
    description: PEM of this host's private key.
    type: str
    required: true
  project:
    description: The registry itself; set on its host only.
    type: dict
    suboptions:
      name: {description: Compose project name., type: str, required: true}
      folder: {description: Folder of the project on the host., type: str, required: true}
      image: {description: Image reference., type: str, required: true}
      built: {description: Whether the image is built here and not pulled., type: bool, required: true}
      digest: {description: Fingerprint of all files., type: str, required: true}
  files:
    description: The project's files with their modes and owners, as JSON. Some are secret, so none is logged.
    type: str
    default: "[]"
  archive:
    description: File on this host, made by C(docker save), with the registry's image; deleted once loaded.
    type: path
  timeout:
    description: Seconds to wait for the registry to become healthy.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Trust the registry, and run it on its host
  slipway.compose.registry:
  become: true
"""

RETURN = r"""
steps:
  description: What was or would be done, one sentence each.
  type: list
  elements: str
  returned: always
lacks_image:
  description: Whether the registry waits for its own image, which has to be built and carried here.
  type: bool
  returned: always
host:
  description: Name of the registry's host. Added by the action plugin.
  type: str
  returned: always
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.images.registry_host import (
    TRUST_FOLDER,
    Identity,
    RegistryProject,
    changed_files,
    load_image,
    trust_files,
    write_files,
)
from ..module_utils._core.tree import File

PROJECT_OPTIONS = {
    "name": {"type": "str", "required": True},
    "folder": {"type": "str", "required": True},
    "image": {"type": "str", "required": True},
    "built": {"type": "bool", "required": True},
    "digest": {"type": "str", "required": True},
}

ARGUMENT_SPEC = {
    "epoch": {"type": "str", "default": ""},
    "address": {"type": "str", "required": True},
    "ca": {"type": "str", "required": True},
    "certificate": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "project": {"type": "dict", "options": PROJECT_OPTIONS},
    # One text at the top: Ansible writes what is nested to the system's log, `no_log` or not.
    "files": {"type": "str", "default": "[]", "no_log": True},
    "archive": {"type": "path"},
    "timeout": {"type": "int", "default": 60},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    with reporting(module):
        steps = _trust(module)
        lacks_image = False
        if module.params["project"]:
            project = _project(module.params["project"], json.loads(module.params["files"]))
            lacks_image = _run_project(module, project, steps)
        text = "".join(f"{step}\n" for step in steps)
        module.exit_json(
            changed=bool(steps), steps=steps, lacks_image=lacks_image, diff={"before": "", "after": text}
        )


def _trust(module: AnsibleModule) -> list[str]:
    params = module.params
    folder = TRUST_FOLDER / params["address"]
    changed = changed_files(folder, trust_files(Identity(params["ca"], params["certificate"], params["key"])))
    if not module.check_mode:
        write_files(folder, changed)
    return [f"write {folder / file.path}" for file in changed]


def _run_project(module: AnsibleModule, project: RegistryProject, steps: list[str]) -> bool:
    """Add to the steps and carry them out; True when that has to wait for the image."""
    run = runner(module)
    own = project.steps(run)
    if not own:
        return False
    archive = module.params["archive"]
    steps += own
    if module.check_mode:
        return False
    if archive:
        load_image(run, Path(archive))
        Path(archive).unlink()
    if project.built and project.lacks_image(run):
        return True
    project.bring_up(run, module.params["timeout"])
    return False


def _project(values: dict[str, Any], contents: list[dict[str, Any]]) -> RegistryProject:
    files = tuple(File.from_dict(file) for file in contents)
    folder = Path(values["folder"])
    return RegistryProject(values["name"], folder, values["image"], values["built"], values["digest"], files)


if __name__ == "__main__":
    main()
