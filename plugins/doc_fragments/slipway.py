# GPL-3.0-or-later
"""Options and promises that Slipway's modules share, written once."""

from __future__ import annotations


class ModuleDocFragment:
    """`slipway.compose.slipway` for every module, its parts for those that need them.

    `….slipway.postgres`: modules that send SQL. `….slipway.member`: those whose action plugin names the
    member. `….slipway.lock_holder`: those that act only for whoever holds the lock. `….slipway.prometheus`:
    those that ask for measurements.
    """

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Predicts every change without making it.
    support: full
  diff_mode:
    description: Shows the steps that would run, one per line.
    support: full
"""

    POSTGRES = r"""
options:
  container:
    description:
      - Container of this host's PostgreSQL member, for example V(wayfare-postgres-1).
      - SQL is sent to C(psql) inside it, as its user C(postgres), on standard input.
    type: str
    required: true
  wait:
    description:
      - Seconds to wait for something that others must do first. A member must lead before anything can be
        done, and another run or an open transaction may hold a lock.
    type: int
    default: 60
  patroni:
    description:
      - Patroni's API on this host. It is asked who leads when PostgreSQL itself cannot answer,
        as on a replica that is still being cloned.
    type: dict
    suboptions:
      url:
        description: Base URL, for example V(https://10.0.0.11:8008).
        type: str
        required: true
      ca:
        description: PEM file on the host with the authority that signed its certificate.
        type: path
      certificate:
        description: PEM file on the host with the certificate to show.
        type: path
      key:
        description: PEM file on the host with that certificate's private key.
        type: path
notes:
  - Runs on every PostgreSQL host at once and acts only where the member leads; elsewhere it returns
    C(leader=false) and C(changed=false).
"""

    MEMBER = r"""
options:
  stack:
    description: Name of the stack. Set by the action plugin.
    type: str
  container:
    description: This host's PostgreSQL container. Set by the action plugin.
    type: str
  patroni:
    description: Patroni's API on this host. Set by the action plugin.
    type: dict
"""

    LOCK_HOLDER = r"""
options:
  run:
    description: Id of the run that must hold the environment's lock. Set by the action plugin.
    type: str
    default: ""
"""

    PROMETHEUS = r"""
options:
  prometheus:
    description: Where this environment's Prometheus answers. Set by the action plugin.
    type: dict
    suboptions:
      host:
        description: Its private address.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        required: true
"""
