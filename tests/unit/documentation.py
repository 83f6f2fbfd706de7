"""What the documentation says, taken apart: its pages, and the commands and examples on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.kinds import Table
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.schema import STACK
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.schema_components import (
    COMPONENT_SETTINGS,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.schema_service import SERVICE

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
RUNBOOKS = DOCS / "runbooks"

# All that people read. The reference is made from code; decisions and the changelog say what was true once.
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    CHECKOUT / "apps/wayfare/README.md",
    CHECKOUT / "molecule/README.md",
    *sorted(DOCS.glob("*.md")),
    *sorted(RUNBOOKS.glob("*.md")),
]
SOURCES = (
    "plugins",
    "roles",
    "compose",
    "playbooks",
    "scripts",
    "lab",
    "apps",
    "inventories",
    "molecule",
    ".config",
)
LONGEST = 400_000


class _Yaml(yaml.SafeLoader):
    """With Ansible's mark of a text in which it is to fill in nothing."""


_Yaml.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))

FENCED = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}.*\n(?:\n(?= {4}))?)+", re.MULTILINE)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def blocks(page: Path) -> list[str]:
    """Whole blocks of code, fenced or indented, without their indentation."""
    whole = text(page)
    indented = INDENTED.findall(FENCED.sub("\n", whole))
    return FENCED.findall(whole) + [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in indented]


def loaded(block: str) -> Any:
    """What a block of YAML says."""
    return yaml.load(block, _Yaml)


def commands(page: Path) -> list[str]:
    """Each line of a block and each piece of code within a sentence."""
    lines = [line.strip() for block in blocks(page) for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", FENCED.sub("\n", text(page)))


def examples(page: Path) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    """Stacks that a page shows, or a service or components out of one, and what such a one may hold."""
    for block in blocks(page):
        try:
            shown = loaded(block)
        except yaml.YAMLError:
            continue
        if not isinstance(shown, Mapping):
            continue
        for part in (shown, *shown.values()):
            table = _table(part)
            if table:
                yield table, part
                break


def _table(part: object) -> Table | None:
    """What an example is of: the table that knows most of its keys."""
    if not isinstance(part, Mapping):
        return None
    known = {len(table.keys.keys() & part.keys()): table for table in (SERVICE, COMPONENT_SETTINGS, STACK)}
    return known[max(known)] if max(known) else None


def sections(page: Path) -> dict[str, str]:
    """The parts of a page by their heading, without what stands before the first."""
    parts = re.split(r"^## (.+)\n", text(page), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@cache
def sources() -> str:
    """All that the platform is made of, in one text: what is nowhere in it does not exist."""
    files = [CHECKOUT / "Makefile"]
    for folder in SOURCES:
        files += [path for path in sorted((CHECKOUT / folder).rglob("*")) if _is_source(path)]
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def _is_source(path: Path) -> bool:
    built = {"__pycache__", "node_modules"} & set(path.parts)
    return path.is_file() and path.suffix != ".md" and not built and path.stat().st_size <= LONGEST


def targets() -> dict[str, str]:
    """What `make` can make, with its recipe."""
    rules = re.finditer(r"^([a-z]+):.*\n((?:\t.*\n)*)", text(CHECKOUT / "Makefile"), re.MULTILINE)
    return {rule[1]: rule[2] for rule in rules}


def playbooks() -> dict[str, str]:
    """Playbooks by the path a page gives them, with their text."""
    found = {f"playbooks/{path.name}": text(path) for path in (CHECKOUT / "playbooks").glob("*.yml")}
    return {**found, "deploy.yml": found["playbooks/deploy.yml"]}


def role_options() -> set[str]:
    """Variables that roles take, from the inventory or from `-e`."""
    found: set[str] = set()
    for path in (CHECKOUT / "roles").glob("*/meta/argument_specs.yml"):
        for spec in yaml.safe_load(text(path))["argument_specs"].values():
            found |= set(spec["options"])
    return found
