"""The core's packages depend on one another in one direction only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from documentation import CHECKOUT, DOCS

CORE = CHECKOUT / "plugins/module_utils/_core"
PACKAGES = sorted(it.parent.name for it in CORE.glob("*/__init__.py"))


def named(file: Path) -> Iterator[Path]:
    """What a module's relative imports name, from the core's folder on."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = file.parents[node.level - 1].relative_to(CORE)
            names = [node.module.replace(".", "/")] if node.module else [it.name for it in node.names]
            yield from (above / name for name in names)


def uses(package: str) -> set[str]:
    """The packages that one imports from; what lies beside them is everybody's."""
    found = {it.parts[0] for file in (CORE / package).glob("*.py") for it in named(file)}
    return found & set(PACKAGES) - {package}


def test_no_two_packages_need_each_other() -> None:
    try:
        TopologicalSorter({package: uses(package) for package in PACKAGES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_what_lies_beside_the_packages_needs_none_of_them() -> None:
    found = {file.name: {it.parts[0] for it in named(file)} & set(PACKAGES) for file in CORE.glob("*.py")}
    assert not {name: packages for name, packages in found.items() if packages}


def test_the_architecture_names_each_package() -> None:
    told = (DOCS / "architecture.md").read_text(encoding="utf-8")
    assert [package for package in PACKAGES if f"| `{package}/` |" not in told] == []
