"""What a host no longer keeps once a release serves: the oldest releases, and what is warm of older ones."""

from __future__ import annotations

from collections.abc import Sequence

from ..docker.compose_file import images_named
from ..docker.engine import Engine
from ..tree import ReleaseTree
from .plan import replica_of
from .pools import Pools


def cool(engine: Engine, tree: ReleaseTree, pools: Pools) -> list[str]:
    """Remove what is kept warm of a release that is no longer the one before; it has no traffic."""
    stale = [where for where, release in pools.warm().items() if release != tree.previous]
    gone = [it for it in engine.containers() if replica_of(it.service) in stale]
    engine.remove(gone)
    for container in gone:
        tree.set_applied(container.service, None)
    pools.record({service: pools.of(service).emptied(pool) for service, pool in stale})
    return [f"retire {container.service} (not of the release before any more)" for container in gone]


def forget(engine: Engine, tree: ReleaseTree, keep: int, protected: Sequence[str]) -> list[str]:
    """Delete the oldest releases, and the images that none of the others names."""
    old = tree.oldest(keep, protected)
    if not old:
        return []
    named = {release: images_named(tree.staged(release)) for release in tree.releases()}
    for release in old:
        tree.forget(release)
    needed = {image for release, images in named.items() if release not in old for image in images}
    engine.remove_images(sorted({image for release in old for image in named[release]} - needed))
    return [f"forget release {release}" for release in old]
