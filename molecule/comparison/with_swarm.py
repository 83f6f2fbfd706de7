"""Swarm on the same engines: one replica on each node, updated one after the other, nginx before them.

The lab's kernel has no IPVS, so a service has no virtual address here, and no port that any node answers:
`dnsrr`, and a published port of each host's own. Two replicas cannot share such a port, so `start-first` is
impossible: stop-first, one at a time.

Swarm refuses `live-restore`. It is switched off (a reload of the engine's settings, which stops nothing), and
on again by `tidy`. It matters only while an engine stops, and none does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from comparison_files import BALANCER_PORT, CPUS, LABEL, MEMORY, WEB_PORT
from comparison_hosts import ASIDE, SETTINGS, WEB, Host, open_ports, settled, start_balancer, tidy, together
from contender import NEW, OLD, Way, plain, release, rollback
from reckoning import Floor
from undisturbed import undisturbed

SERVICE = "slipway-compare-web"
# Beside what the lab's network and its engines use.
ADDRESSES = "10.76.0.0/16"
NODES = ("tcp dport { 2377, 7946 }", "udp dport { 4789, 7946 }")
LIVE_RESTORE_OFF = f"""
set -e
cp --preserve {SETTINGS} {ASIDE}.new && mv {ASIDE}.new {ASIDE}
python3 -c 'import json, pathlib
path = pathlib.Path("{SETTINGS}")
path.write_text(json.dumps(json.loads(path.read_text()) | {{"live-restore": False}}, indent=2))'
systemctl reload docker
for _ in $(seq 100); do
  [ "$(docker info --format '{{{{.LiveRestoreEnabled}}}}')" = true ] || exit 0
  sleep 0.1
done
echo 'live-restore stays on' >&2
exit 1
"""


@contextmanager
def swarm(hosts: Sequence[Host]) -> Iterator[list[Way]]:
    try:
        open_ports(hosts, *NODES)
        start_balancer(hosts)
        together(hosts, lambda host: host.root(LIVE_RESTORE_OFF))
        join(hosts)
        manager = hosts[0]
        manager(create(manager.image(WEB)))
        settled(hosts, OLD)
        each = Floor(alone=len(hosts))
        yield [
            Way(
                name="Swarm, `docker service update`",
                connect=plain(manager.address, BALANCER_PORT),
                settle=partial(settled, hosts),
                changes=(
                    release(partial(update, manager, f"--env-add WAYFARE_VERSION={NEW}"), each),
                    rollback(partial(update, manager, "--rollback"), each),
                ),
            )
        ]
    finally:
        with undisturbed():
            tidy(hosts)


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
