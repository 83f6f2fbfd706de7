#!/usr/bin/python
# GPL-3.0-or-later
"""Ask everything that runs on a host how it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health
short_description: Ask everything that runs on a host how it is
version_added: "0.1.0"
author: Slipway contributors
description:
  - Asks any number of probes side by side and returns one table. Nothing is changed.
  - Kinds of probes and what each knows in C(target) and C(expect) are listed at O(probes).
options:
  probes:
    description:
      - What to ask. The action plugin derives the list from the stack definition where it is not given.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What is asked, in an operator's words.
        type: str
        required: true
      component:
        description: The component or service it is asked of.
        type: str
        required: true
      kind:
        description:
          - V(http) and V(https) get C(url), connecting to C(address) instead of the URL's name where given.
            They expect C(status), a list of statuses or classes like V(2xx), and text that the body
            C(contains).
          - V(tcp) connects to C(host) and C(port).
          - V(tls) expects a certificate for C(server_name), valid for C(days) more, with all of C(names).
          - V(grpc) calls C(grpc.health.v1.Health/Check) for C(service) without TLS.
          - V(container) looks at C(container), and expects at most so many C(restarts), and C(digest) as its
            label C(io.slipway.digest).
          - V(postgres) asks Patroni at C(url), and expects a C(role) of V(leader), V(replica) or V(any), and
            at most C(lag) bytes.
          - V(redis) logs in with the content of C(password_file), and expects a C(role) of V(master),
            V(replica), V(sentinel) or V(any).
          - V(disk) with C(path), and V(memory), fail below C(free) and warn below C(warn) per cent.
          - Kinds with TLS know C(ca), C(certificate) and C(key), PEM files on the host.
        type: str
        required: true
        choices: [http, https, tcp, tls, grpc, container, postgres, redis, disk, memory]
      target:
        description: Where to ask.
        type: dict
        default: {}
      expect:
        description: What to expect.
        type: dict
        default: {}
      timeout:
        description: Seconds for one try.
        type: float
        default: 2.0
      retries:
        description: Further tries after a failed one.
        type: int
        default: 0
      backoff:
        description: Seconds before the first further try. Each later one waits twice as long, at most 5.
        type: float
        default: 0.25
      deadline:
        description: Seconds for all tries together.
        type: float
        default: 10.0
  wait:
    description: Seconds to go on asking what fails, until all is healthy.
    type: float
    default: 0
  strict:
    description: Whether the task fails where something is unhealthy.
    type: bool
    default: true
  host:
    description: Name to show in the table, where tables of several hosts are read together.
    type: str
    default: ""
  stack:
    description: Stack whose replicas are probed only where their pool is live. Set by the action plugin.
    type: str
extends_documentation_fragment:
  - slipway.compose.slipway
"""

EXAMPLES = r"""
- name: Wait until everything on this host is well
  slipway.compose.health:
    wait: 60
    probes:
      - name: api-blue-1 ready
        component: api
        kind: http
        target: {url: "http://10.0.0.11:20001/ready"}
      - name: certificate
        component: edge
        kind: tls
        target: {host: 10.0.0.11, port: 443, server_name: wayfare.test, ca: /etc/ssl/our-ca.pem}
        expect: {days: 21}
"""

RETURN = r"""
healthy:
  description: Whether nothing failed. Warnings do not count.
  type: bool
  returned: always
  sample: true
checks:
  description: What every probe found, in the order given.
  type: list
  elements: dict
  returned: always
  sample:
    - component: api
      name: api-blue-1 ready
      status: ok
      detail: status 200
      milliseconds: 3
      where: http://10.0.0.11:20001/ready
      remedy: ""
unhealthy:
  description: One line per failed check, with what is wrong, where, and what to do.
  type: list
  elements: str
  returned: always
  sample: []
table:
  description: The same as lines of text, what failed first.
  type: list
  elements: str
  returned: always
  sample:
    - "STATUS  COMPONENT  CHECK             MS  DETAIL"
    - "ok      api        api-blue-1 ready  3   status 200"
milliseconds:
  description: How long all of it took.
  type: int
  returned: always
  sample: 120
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.ansible import reporting, runner
from ..module_utils._core.checks.health import KINDS, Probe, problems, table, unhealthy, verdict
from ..module_utils._core.checks.probes import measure
from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.release.pools import Pools, is_live

ARGUMENT_SPEC: dict[str, Any] = {
    "probes": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "component": {"type": "str", "required": True},
            "kind": {"type": "str", "required": True, "choices": list(KINDS)},
            "target": {"type": "dict", "default": {}},
            "expect": {"type": "dict", "default": {}},
            "timeout": {"type": "float", "default": 2.0},
            "retries": {"type": "int", "default": 0},
            "backoff": {"type": "float", "default": 0.25},
            "deadline": {"type": "float", "default": 10.0},
        },
    },
    "wait": {"type": "float", "default": 0},
    "strict": {"type": "bool", "default": True},
    "host": {"type": "str", "default": ""},
    "stack": {"type": "str"},
}


def look(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    if faults := problems(params["probes"]):
        listing = "".join(f"\n  - {fault}" for fault in faults)
        raise SlipwayError(
            f"{len(faults)} problems found in `probes`:{listing}\nNothing was asked", "Correct them"
        )
    begun = time.monotonic()
    probes = [Probe.from_dict(item) for item in params["probes"]]
    if params["stack"]:
        pools = Pools(Path("/opt") / params["stack"])
        probes = [probe for probe in probes if all(is_live(word, pools) for word in probe.name.split())]
    checks = measure(probes, runner(module), params["wait"])
    return {
        "changed": False,
        "healthy": verdict(checks),
        "checks": [dataclasses.asdict(check) for check in checks],
        "unhealthy": unhealthy(checks),
        "table": table(checks, params["host"]),
        "milliseconds": round((time.monotonic() - begun) * 1000),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    with reporting(module):
        found = look(module)
        if module.params["strict"] and not found["healthy"]:
            lines = "".join(f"\n  - {line}" for line in found["unhealthy"])
            failed, asked = len(found["unhealthy"]), len(found["checks"])
            module.fail_json(msg=f"{failed} of {asked} checks failed:{lines}", **found)
        module.exit_json(**found)


if __name__ == "__main__":
    main()
