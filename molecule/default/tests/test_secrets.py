"""No secret is where somebody without the right to it could read it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lab import TOOLS, Lab

# What a script prints of a place where it found a secret: the place and how often, never the secret.
SEARCH = """
secrets=$(mktemp) || exit 1
chmod 600 "$secrets"
trap 'rm -f "$secrets"' EXIT
printf '%s\\n' {patterns} > "$secrets"
search() {{
  count=$(grep --count --fixed-strings --file="$secrets")
  [ "$count" = 0 ] || echo "$1: $count lines"
}}
for container in $(docker ps --all --format '{{{{.Names}}}}'); do
  docker inspect "$container" | search "docker inspect $container"
  docker logs "$container" 2>&1 | search "docker logs $container"
done
for _ in 1 2 3 4 5 6 7 8 9 10; do ps -eo args | search 'ps'; sleep 0.5; done
for file in /opt/{stack}*/current/docker-compose.prod.yml /opt/{stack}*/compose.yml /opt/{stack}/state/*; do
  [ ! -f "$file" ] || search "$file" < "$file"
done
journalctl --quiet --boot --no-pager 2>/dev/null | search 'journal'
"""


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "certificate":
                yield from leaves(inner)
    else:
        yield str(value)


def telling_line(secret: str) -> str:
    """Of a private key (elliptic, PKCS #8), the line with most of the number itself.

    The line before begins like every other key's; the one after is the public key, as in the certificate.
    """
    lines = secret.splitlines()
    return lines[0] if len(lines) == 1 else lines[2]


class Patterns(list[str]):
    """What to search for. A failing test prints its values; this one keeps them to itself."""

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


@pytest.fixture(scope="module")
def patterns(lab: Lab) -> Patterns:
    vault = [str(TOOLS / "ansible-vault"), "view", str(lab.folder / "secrets.vault.yml")]
    document = yaml.safe_load(lab.run(vault, timeout=60).stdout)
    found = Patterns(telling_line(secret) for secret in leaves(document))
    enough = len(found) > 8 and min(map(len, found)) >= 16
    assert enough, "the vault holds fewer or shorter secrets than a stack needs"
    return found


def findings(lab: Lab, host: str, patterns: Patterns) -> list[str]:
    quoted = " ".join(map(shlex.quote, patterns))
    told = lab.as_root(host, SEARCH.format(patterns=quoted, stack=lab.stack["name"]))
    return told.splitlines()


def test_no_secret_is_in_inspections_logs_process_lists_or_compose_files(
    lab: Lab, patterns: Patterns
) -> None:
    assert {host: found for host in lab.addresses if (found := findings(lab, host, patterns))} == {}


def test_the_search_for_secrets_does_find_what_is_there(lab: Lab) -> None:
    """The stack's name is in every Compose file: a search that misses it would prove nothing above."""
    host = lab.host_of("edge")
    places = "\n".join(findings(lab, host, Patterns([lab.stack["name"]])))
    for place in ("docker inspect", "docker logs", "ps:", "docker-compose.prod.yml:"):
        assert place in places


def test_every_file_of_a_configuration_is_readable_by_its_container_alone(lab: Lab) -> None:
    for name, host in lab.hosts.items():
        folder = f"/opt/{lab.stack['name']}/config"
        listed = host.check_output("find %s -type f -printf '%%m %%p\\n'", folder).splitlines()
        assert len(listed) > 20
        # Scripts of a component are run, everything else is only read.
        open_to_others = [line for line in listed if line.split()[0] not in ("400", "500")]
        assert open_to_others == [], name
        secret = [line for line in listed if line.endswith((".key", "password", "session_key"))]
        assert secret and all(line.startswith("400 ") for line in secret), name
