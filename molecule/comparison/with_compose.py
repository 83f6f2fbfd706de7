"""Plain Compose: a file on each host, `ssh host docker compose up -d` one by one, nginx before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from comparison_files import BALANCER_PORT, FOLDER, web_yml
from comparison_hosts import EDGE, WEB, Host, open_ports, settled, start_balancer, tidy, together
from contender import NEW, OLD, Way, plain, release, rollback
from reckoning import Floor
from undisturbed import undisturbed


@contextmanager
def compose(hosts: Sequence[Host]) -> Iterator[list[Way]]:
    try:
        open_ports(hosts)
        start_balancer(hosts, hosts[0].image(EDGE))
        image = hosts[0].image(WEB)
        for version in (OLD, NEW):
            together(hosts, lambda host, it=version: host.write(f"{it}.yml", web_yml(image, it)))
        up(hosts, OLD)
        settled(hosts, OLD)
        each = Floor(alone=len(hosts))
        yield [
            Way(
                name="`docker compose up -d`, host after host",
                connect=plain(hosts[0].address, BALANCER_PORT),
                settle=partial(settled, hosts),
                changes=(
                    release(partial(up, hosts, NEW), each),
                    rollback(partial(up, hosts, OLD), each),
                ),
            )
        ]
    finally:
        with undisturbed():
            tidy(hosts)


def up(hosts: Sequence[Host], version: str) -> None:
    for host in hosts:
        host(f"sudo docker compose --file {FOLDER}/{version}.yml up --detach")
