"""Where an environment's images come from on the control node."""

from __future__ import annotations

from pathlib import Path

from ..module_utils._core.errors import SlipwayError
from ..module_utils._core.images.image_catalog import Folders
from .native import native
from .render import COMPOSE_FOLDER
from .secrets import Loader


def folders(checkout: Path, epoch: str, loader: Loader) -> Folders:
    """The platform's image folders, and the checkout that a service's `build` is relative to."""
    images = COMPOSE_FOLDER / "images"
    path = images / "versions.yml"
    versions = native(loader.load(loader.get_text_file_contents(str(path)), str(path)))
    if not isinstance(versions, dict) or not all(isinstance(table, dict) for table in versions.values()):
        raise SlipwayError(
            "compose/images/versions.yml is not a table of tables", "Write image: {ARGUMENT: version}"
        )
    texts = {
        str(name): {str(key): str(value) for key, value in table.items()} for name, table in versions.items()
    }
    return Folders(images, checkout, texts, epoch)
