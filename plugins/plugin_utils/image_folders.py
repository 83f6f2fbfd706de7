"""Where an environment's images come from on the control node."""

from __future__ import annotations

from pathlib import Path

import yaml

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.image_catalog import Folders
from .render import COMPOSE_FOLDER


def folders(checkout: Path, epoch: str) -> Folders:
    """The platform's image folders, and the checkout that a service's `build` is relative to."""
    images = COMPOSE_FOLDER / "images"
    versions = yaml.safe_load((images / "versions.yml").read_text(encoding="utf-8")) or {}
    faulty = [name for name, arguments in versions.items() if not isinstance(arguments, dict)]
    if faulty:
        raise SlipwayError(
            f"compose/images/versions.yml: {', '.join(map(str, faulty))} is not a table",
            "Write image: {ARGUMENT: version}",
        )
    texts = {
        str(name): {str(key): str(value) for key, value in table.items()} for name, table in versions.items()
    }
    return Folders(images, checkout, texts, epoch)
