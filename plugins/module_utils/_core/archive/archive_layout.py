"""What each host archives where, and with which keys: decided from the whole topology, pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Problem, SlipwayError
from ..stack.model import Stack
from ..stack.model_components import SecondRepository
from ..stack.topology import ARCHIVE_PORTS, PORTS, HostView, Topology
from ..wording import did_you_mean, listed
from .archive_place import CREDENTIALS, KEY, PLACE, SECOND, Place
from .archive_plan import FILES, REDIS, VOLUME, Settings, repository_of

_PATH = "stack/components/backup/archive"
_SECRET = "archive_password"
# Of the platform's own; PostgreSQL and Redis have better ways, the others hold what makes itself anew.
_OF_COMPONENTS = ("alertmanager", "prometheus")


def archive_faults(stack: Stack) -> Iterator[Problem]:
    """Nothing of a stack that keeps no archive is at fault here."""
    archive = stack.components.backup.archive if stack.components.backup else None
    if not archive:
        return
    known = _volumes(stack)
    for index, name in enumerate(archive.volumes):
        if name in known or not name:
            continue
        remedy = f"{did_you_mean(name, known)}Volumes that can be archived: {listed(sorted(known))}"
        if name in ("postgres", "redis"):
            remedy = "Remove it: it is saved in a way of its own"
        yield Problem(f"{_PATH}/volumes/{index}", f"{name} is no volume to archive", remedy)
    if _SECRET in stack.secrets:
        remedy = f"Rename it, for example app_{_SECRET}"
        yield Problem(f"stack/secrets/{_SECRET}", "has a name the platform uses itself", remedy)


def holders(stack: Stack, volume: str) -> tuple[str, ...]:
    """The hosts that have a volume and archive it; none where the stack does not say so."""
    archive = stack.components.backup.archive if stack.components.backup else None
    return _volumes(stack)[volume] if archive and volume in archive.volumes else ()


def _volumes(stack: Stack) -> dict[str, tuple[str, ...]]:
    """What can be archived, and the hosts that have it."""
    monitoring = stack.components.monitoring.hosts
    known = dict.fromkeys(_OF_COMPONENTS, monitoring)
    for service in stack.services.values():
        known |= {f"{service.name}.{name}": service.hosts for name in service.volumes}
    return known


def restoring(stack: Stack, what: str, on: str) -> tuple[str, ...]:
    """The hosts that bring something back. on: the one that was named, or ""."""
    redis, every = stack.components.redis, tuple(host.name for host in stack.hosts)
    if what == REDIS:
        able = redis.hosts if redis else ()
    elif what == FILES:
        able = every
    elif what.startswith(VOLUME):
        able = holders(stack, what.removeprefix(VOLUME))
    else:
        raise SlipwayError(f"{what!r} cannot be restored", "Name redis, files or volume:<name>")
    if not able or (on and on not in able):
        where = f" of {on}" if on else ""
        raise SlipwayError(f"{what}{where} is not archived", f"Archived on: {listed(able)}")
    if on:
        return (on,)
    if what.startswith(VOLUME) and len(able) > 1:
        raise SlipwayError(f"{what} is on several hosts: {listed(able)}", "Name one: -e on=<host>")
    return able[:1] if what == REDIS else able


def settings(topology: Topology, view: HostView) -> Settings | None:
    stack, name = topology.stack, view.host.name
    backup = stack.components.backup
    if not backup or not backup.archive:
        return None
    keeper = topology.members("archive-repository")[0]
    repositories = [repository_of(host.name) for host in stack.hosts]
    repositories += [REDIS] if stack.components.redis else []
    return Settings(
        stack=stack.name,
        host=name,
        address=view.host.address,
        repository=f"{keeper.address}:{ARCHIVE_PORTS['archive-repository']}",
        keep_days=backup.archive.keep_days,
        volumes=tuple(volume for volume in backup.archive.volumes if name in holders(stack, volume)),
        redis_port=PORTS["redis"] if view.runs("redis") else 0,
        keeps=tuple(repositories) if view.runs("archive-repository") else (),
    )


def files(topology: Topology, view: HostView, secrets: Mapping[str, str]) -> dict[str, str]:
    """What the host's program reads, by name below `config/host/archive`.

    Each repository has a password of its own: a host opens its own archives and Redis's, and nobody else's.
    """
    found = settings(topology, view)
    if not found:
        return {}
    mine = {repository_of(view.host.name), *([REDIS] if found.redis_port else []), *found.keeps}
    told = {f"{name}.password": password(secrets[_SECRET], name) for name in sorted(mine)}
    if found.redis_port:
        told["redis_admin"] = secrets["redis_admin"]
    backup = topology.stack.components.backup
    if backup and backup.second and found.keeps:
        elsewhere = _elsewhere(backup.second, found.keeps, secrets)
        told |= {f"{SECOND}/{name}": text for name, text in elsewhere.items()}
    return {"settings.json": _json(found.to_dict()), **told}


def place(second: SecondRepository) -> Place:
    """Beside pgBackRest's, in a folder of its own."""
    folder = f"{second.path}/restic"
    if it := second.s3:
        address, _, port = it.endpoint.partition(":")
        lookup = "path" if it.path_style else "dns"
        options = (f"s3.region={it.region}", f"s3.bucket-lookup={lookup}")
        return Place(f"s3:https://{it.endpoint}/{it.bucket}{folder}", address, int(port or 443), options, "")
    assert second.sftp
    to = second.sftp
    # Two slashes: from the server's root, as pgBackRest goes.
    return Place(f"sftp://{to.user}@{to.host}:{to.port}/{folder}", to.host, to.port, (), to.fingerprint)


def _elsewhere(
    second: SecondRepository, keeps: tuple[str, ...], secrets: Mapping[str, str]
) -> dict[str, str]:
    """What the keeper copies with. No host's own password opens what is stored there."""
    told = {PLACE: _json(place(second).to_dict())}
    told |= {f"{name}.password": password(secrets[_SECRET], f"{SECOND}/{name}") for name in keeps}
    if second.s3:
        pair = (secrets[second.s3.access_key], secrets[second.s3.secret_key])
        told[CREDENTIALS] = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n".format(*pair)
    if second.sftp:
        # ssh takes no key whose last line has no end.
        told[KEY] = secrets[second.sftp.private_key].rstrip("\n") + "\n"
    return told


def _json(told: Mapping[str, Any]) -> str:
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def password(secret: str, repository: str) -> str:
    """A repository's password, from the environment's secret: what is lost with a host can be made again."""
    return hmac.new(secret.encode(), repository.encode(), hashlib.sha256).hexdigest()
