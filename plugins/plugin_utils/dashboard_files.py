"""Files of dashboards on the control node: the platform's, and those that a stack names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import yaml

from ..module_utils._core.errors import InvalidInputError, Problem
from ..module_utils._core.monitoring.dashboards import dashboards
from ..module_utils._core.schema.schema_dashboards import PARTS
from ..module_utils._core.stack.model import Stack
from ..module_utils._core.stack.model_alerts import Thresholds

FOLDER = Path(__file__).resolve().parents[2] / "compose/dashboards"
_PATH = "stack/components/console/dashboards"
_FORM = "See docs/dashboards.md, and compose/dashboards for examples"


@cache
def platform() -> Mapping[str, object]:
    """Those that every stack has: name -> what the file says."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yml"))}


def own(stack: Stack, checkout: Path) -> dict[str, object]:
    """Those of the user."""
    return {name: _read(checkout / file) for name, file in names(stack).items()}


def names(stack: Stack) -> dict[str, str]:
    """Those of the user: name -> file, as declared."""
    console = stack.components.console
    return {Path(file).stem: file for file in console.dashboards} if console else {}


def problems(stack: Stack, checkout: Path) -> Iterator[Problem]:
    """Everything wrong with the files that the stack names."""
    console, taken = stack.components.console, set(platform())
    for index, name in enumerate(console.dashboards if console else ()):
        path, file = f"{_PATH}/{index}", checkout / name
        if not name:
            continue
        if not file.is_file():
            yield Problem(path, f"{name} is not a file", f"Name a file below {checkout}")
        elif file.stem in taken:
            yield Problem(path, f"{name} has the name of another dashboard", "Rename the file")
        else:
            taken.add(file.stem)
            yield from _content(name, file)


def _content(name: str, file: Path) -> Iterator[Problem]:
    try:
        dashboards({file.stem: _read(file)}, frozenset(PARTS), Thresholds(), {file.stem: name})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        yield Problem(name, f"is not YAML: {told}", _FORM)
    except InvalidInputError as faults:
        yield from faults.problems


def _read(path: Path) -> object:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
