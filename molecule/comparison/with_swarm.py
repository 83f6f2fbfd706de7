"""Swarm on hosts of its own: one replica on each, updated one after the other, nginx before them.

The lab's kernel has no IPVS, so a service has no virtual address here, and no port that any node answers:
`dnsrr`, and a published port of each host's own. Two replicas cannot share such a port, so `start-first` is
impossible: stop-first, one at a time.

The lab's own hosts would not stay as they are: Swarm refuses `live-restore`, and an engine that leaves a
swarm forgets the names of all containers on all its networks until it is restarted (seen on Docker 26.1: the
stack's replicas no longer found their database). So there are other hosts for it: same image, provisioned
the same way, beside the lab's on the same machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from comparison_files import BALANCER_PORT, CPUS, LABEL, MEMORY, WEB_PORT
from comparison_hosts import EDGE, WEB, Host, open_ports, settled, start_balancer
from contender import NEW, OLD, Way, plain, release, rollback
from extra_hosts import carry, make, remove
from reckoning import Floor
from undisturbed import undisturbed

SERVICE = "slipway-compare-web"
NODES = ("tcp dport { 2377, 7946 }", "udp dport { 4789, 7946 }")
# Beside what labs and their engines use.
ADDRESSES = "10.76.0.0/16"


def name_of_nodes(hosts: Sequence[Host]) -> str:
    return f"{hosts[0].lab.name}-swarm"


@contextmanager
def swarm(hosts: Sequence[Host]) -> Iterator[list[Way]]:
    name = name_of_nodes(hosts)
    try:
        nodes = make(name, len(hosts), {"live-restore": False})
        open_ports(nodes, *NODES)
        web = carry(hosts[0], hosts[0].image(WEB), nodes, "web")
        nginx = carry(hosts[0], hosts[0].image(EDGE), nodes, "nginx")
        start_balancer(nodes, nginx)
        join(nodes)
        manager = nodes[0]
        manager(create(web))
        settled(nodes, OLD)
        each = Floor(alone=len(nodes))
        yield [
            Way(
                name="Swarm, `docker service update`",
                connect=plain(manager.address, BALANCER_PORT),
                settle=partial(settled, nodes),
                changes=(
                    release(partial(update, manager, f"--env-add WAYFARE_VERSION={NEW}"), each),
                    rollback(partial(update, manager, "--rollback"), each),
                ),
            )
        ]
    finally:
        with undisturbed():
            remove(name)


def join(hosts: Sequence[Host]) -> None:
    manager = hosts[0]
    manager(f"sudo docker swarm init --advertise-addr {manager.address} --default-addr-pool {ADDRESSES}")
    token = manager("sudo docker swarm join-token --quiet worker")
    for host in hosts[1:]:
        host(f"sudo docker swarm join --token {token} {manager.address}:2377")


def create(image: str) -> str:
    ready = "curl --fail --silent --output /dev/null http://127.0.0.1:8080/ready"
    return (
        f"sudo docker service create --quiet --name {SERVICE} --container-label {LABEL}=yes --mode global"
        f" --endpoint-mode dnsrr --publish published={WEB_PORT},target=8080,mode=host"
        " --update-order stop-first --update-parallelism 1 --no-resolve-image --init"
        f" --limit-cpu {CPUS} --limit-memory {MEMORY} --env WAYFARE_VERSION={OLD}"
        f" --health-cmd '{ready}' --health-interval 10s --health-start-period 20s"
        " --health-start-interval 500ms"
        f" {image} web"
    )


def update(manager: Host, change: str) -> None:
    manager(f"sudo docker service update --quiet {change} {SERVICE}")
