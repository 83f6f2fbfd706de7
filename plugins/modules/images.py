#!/usr/bin/python
# GPL-3.0-or-later
"""Find out which images the registry lacks, build them and publish them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: images
short_description: Keep every image of an environment in its registry
description:
  - Runs on the machine that builds. An image is named by a fingerprint of everything it is built from,
    so that one which is in the registry is never built again.
  - The action plugin of the same name fills in every option from the stack definition and the checkout;
    it sends only the build folders that are needed, starts a job that builds in parallel and prints progress.
version_added: "0.1.0"
author: Slipway contributors
attributes:
  check_mode: {support: full, description: Tells which images would be built and published.}
  diff_mode: {support: full, description: Shows one line per image that would be built.}
options:
  epoch:
    description: Another value rebuilds every image with the newest packages. Read by the action plugin.
    type: str
    default: ""
  seed:
    description:
      - Makes the registry's own image, which cannot come from the registry, instead of all others.
        Read by the action plugin.
    type: bool
    default: false
  stage:
    description:
      - V(compare) tells what is there and what is missing. V(build) starts a job for what is missing and
        returns at once. V(follow) waits for news of the job.
    type: str
    choices: [compare, build, follow]
    default: compare
  address:
    description: Address and port of the registry.
    type: str
    required: true
  ca: {description: PEM of the environment's CA., type: str, required: true}
  certificate: {description: PEM of the certificate to show to the registry., type: str, required: true}
  key: {description: PEM of its private key., type: str, required: true}
  images:
    description: Images to build.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the image., type: str, required: true}
      repository: {description: Repository in the registry., type: str, required: true}
      tag: {description: Fingerprint of the source., type: str, required: true}
      arguments: {description: Build arguments., type: dict}
      on_base: {description: Whether it stands on the shared base., type: bool, default: false}
  upstream:
    description: References used as they are; a tag is resolved to the digest it has now.
    type: list
    elements: str
    default: []
  publish:
    description: Whether images go to the registry; otherwise they stay in the engine and O(archive) is saved.
    type: bool
    default: true
  archive: {description: Name of the image to save as a file., type: str}
  published:
    description: Names of images that the registry has and that are needed to build others.
    type: list
    elements: str
    default: []
  contexts:
    description: Packed build folders by image name, base64. Not logged because of their size.
    type: dict
    default: {}
  parallel: {description: Builds at a time. V(0) means one per core., type: int, default: 0}
  timeout: {description: Seconds that all builds together may take., type: int, default: 3600}
  seen: {description: Events already told., type: int, default: 0}
  folder: {description: Working folder on the builder., type: path, default: /var/lib/slipway-images}
"""

EXAMPLES = r"""
- name: Build and publish what the registry lacks
  slipway.compose.images:
  become: true
  delegate_to: localhost
  run_once: true
  register: images_published
"""

RETURN = r"""
images:
  description: Reference pinned by digest for every component image and service. Added by the action plugin.
  type: dict
  returned: always
steps:
  description: What was or would be built, one line an image.
  type: list
  elements: str
  returned: always
"""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.images.image_builder import Item
from ..module_utils._core.images.image_job import Order, Workshop
from ..module_utils._core.images.image_stages import (
    PATIENCE,
    Site,
    archive_path,
    at_builder,
    compare,
    in_registry,
    start_job,
    trust_registry,
    trusts_registry,
)
from ..module_utils._core.images.registry_client import UnreachableError
from ..module_utils._core.images.registry_host import Identity

ARGUMENT_SPEC = {
    "epoch": {"type": "str", "default": ""},
    "seed": {"type": "bool", "default": False},
    "stage": {"type": "str", "choices": ["compare", "build", "follow"], "default": "compare"},
    "address": {"type": "str", "required": True},
    "ca": {"type": "str", "required": True},
    "certificate": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "images": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "repository": {"type": "str", "required": True},
            "tag": {"type": "str", "required": True},
            "arguments": {"type": "dict"},
            "on_base": {"type": "bool", "default": False},
        },
    },
    "upstream": {"type": "list", "elements": "str", "default": []},
    "publish": {"type": "bool", "default": True},
    "archive": {"type": "str"},
    "published": {"type": "list", "elements": "str", "default": []},
    "contexts": {"type": "dict", "default": {}, "no_log": True},
    "parallel": {"type": "int", "default": 0},
    "timeout": {"type": "int", "default": 3600},
    "seen": {"type": "int", "default": 0},
    "folder": {"type": "path", "default": "/var/lib/slipway-images"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    stages = {"compare": _compare, "build": _build, "follow": _follow}
    with reporting(module):
        module.exit_json(**stages[module.params["stage"]](module))


def _compare(module: AnsibleModule) -> dict[str, Any]:
    """In check mode a registry that is not there yet has nothing; otherwise it must answer."""
    params, site, items = module.params, _site(module), _items(module)
    run = runner(module)
    trusting = trusts_registry(site)
    if not trusting and not module.check_mode:
        trust_registry(site)
    if not params["publish"]:
        found = at_builder(site, items, params["archive"], run)
    elif module.check_mode:
        found = _in_registry_if_it_runs(site, items) if trusting else {}
    else:
        found = in_registry(site, items)
    result = asdict(compare(items, found, params["upstream"], site, run, preview=module.check_mode))
    archives = [str(archive_path(site, item)) for item in items if item.name == params["archive"]]
    return {"changed": not trusting, "archive": archives[0] if archives else "", **result}


def _in_registry_if_it_runs(site: Site, items: Sequence[Item]) -> dict[str, str]:
    try:
        return in_registry(site, items)
    except UnreachableError:
        return {}


def _build(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    parallel = params["parallel"] or os.cpu_count() or 1
    order = Order(
        _items(module), frozenset(params["published"]), params["publish"], params["archive"], parallel
    )
    started = start_job(order, params["contexts"], _site(module), params["timeout"], runner(module))
    return {"changed": started, "started": started}


def _follow(module: AnsibleModule) -> dict[str, Any]:
    events, going_on = Workshop(Path(module.params["folder"])).events(module.params["seen"], PATIENCE)
    return {"changed": False, "events": events, "going_on": going_on}


def _site(module: AnsibleModule) -> Site:
    params = module.params
    identity = Identity(params["ca"], params["certificate"], params["key"])
    return Site(params["address"], identity, Path(params["folder"]))


def _items(module: AnsibleModule) -> tuple[Item, ...]:
    return tuple(Item.from_dict(values) for values in module.params["images"])


if __name__ == "__main__":
    main()
