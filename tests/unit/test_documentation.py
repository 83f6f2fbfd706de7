"""Whatever the documentation names exists: playbooks and what they take, settings, units, metrics, files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.kinds import (
    Entries,
    Kind,
    ListOf,
    Table,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.reading import Faults, read
from ansible_collections.slipway.compose.plugins.module_utils._core.schema.schema import STACK
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.components import COMPONENTS
from documentation import (
    CHECKOUT,
    PAGES,
    RUNBOOKS,
    commands,
    examples,
    name,
    playbooks,
    role_options,
    sources,
    targets,
    text,
)
from whole_stack import stack

on_every_page = pytest.mark.parametrize("page", PAGES, ids=name)

# Metrics of PostgreSQL begin like its own functions and tables, so those are left to the dashboards' tests.
METRIC = re.compile(r"\b(?:slipway|application)_[a-z0-9_:]+[a-z0-9]\b")
VARIABLE = re.compile(r"\b(?:host|images|release|maintenance|lock|drill|restore|leadership|site)_[a-z_]+\b")
FOLDERS = "compose|plugins|roles|scripts|apps|tests|molecule|inventories|lab|docs|playbooks|changelogs"
FILE = re.compile(rf"(?<![\w/.<>-])(?:{FOLDERS})/[\w./*-]*\w")
# Files that are made, or that a reader makes.
NOT_IN_THE_CHECKOUT = re.compile(
    r"apps/shop|docs/runbooks/bookings\.md|inventories/second|inventories/\w+/secrets\.vault\.yml"
)


def found(pattern: str | re.Pattern[str], page: Path) -> list[str]:
    return sorted(set(re.findall(pattern, text(page))))


def unknown(page: Path, pattern: str | re.Pattern[str]) -> list[str]:
    """What a page names and no source has, as a word of its own."""
    return [word for word in found(pattern, page) if not stands_in_sources(word)]


@cache
def stands_in_sources(word: str) -> bool:
    return word in sources() and bool(re.search(rf"(?<![\w-]){word}(?![\w-])", sources()))


def takes(playbook: str, variable: str) -> bool:
    return variable in role_options() or bool(re.search(rf"\b{variable}\b", playbooks()[playbook]))


def given(command: str) -> Iterator[tuple[str, str]]:
    """Playbooks in a command line, each with every variable that it is given."""
    for playbook, options in re.findall(r"((?:playbooks/\w+|\bdeploy)\.yml)([^\n#;|]*)", command):
        for variable in re.findall(r"-e '?(?:\{\")?(\w+)[=\"]", options):
            yield playbook, variable


def made(command: str) -> Iterator[tuple[list[str], list[str]]]:
    """Targets and variables that a command line hands to `make`."""
    for words in re.findall(r"(?:^|[;&(] )make ((?:[a-z]+|[A-Z]+=\S*)(?: (?:[a-z]+|[A-Z]+=\S*))*)", command):
        yield re.findall(r"\b[a-z]+\b(?!=)", re.sub(r"=\S*", "=", words)), re.findall(r"([A-Z]+)=", words)


@on_every_page
def test_a_playbook_exists(page: Path) -> None:
    assert set(found(r"playbooks/\w+\.yml", page)) <= playbooks().keys()


@on_every_page
def test_a_playbook_takes_what_it_is_given(page: Path) -> None:
    pairs = {pair for command in commands(page) for pair in given(command)}
    assert [pair for pair in sorted(pairs) if not takes(*pair)] == []


@on_every_page
def test_make_has_the_target_and_hands_on_the_variable(page: Path) -> None:
    bad = []
    for command in commands(page):
        for wanted, variables in made(command):
            recipes = "".join(targets().get(target, "") for target in wanted)
            bad += [f"make {target}" for target in wanted if target not in targets()]
            bad += [command for word in variables if word != "ENV" and f"$({word})" not in recipes]
    assert bad == []


def chains(kind: Kind) -> Iterator[tuple[str, ...]]:
    """Every way down the schema; `*` is a name of the user's own."""
    if isinstance(kind, ListOf):
        yield from chains(kind.item)
    below: Mapping[str, Kind] = {}
    if isinstance(kind, Table):
        below = {word: key.kind for word, key in kind.keys.items()}
    elif isinstance(kind, Entries):
        below = {"*": kind.item}
    for word, item in below.items():
        yield (word,)
        yield from ((word, *rest) for rest in chains(item))


CHAINS = set(chains(STACK))
TABLES = {chain[-1] for chain in CHAINS if any(longer[:-1] == chain for longer in CHAINS)} - {"*"}


def is_setting(words: tuple[str, ...]) -> bool:
    """Whether the end of some way down the schema is called so; its first word is no name of the user's."""
    return any(fits(chain[-len(words) :], words) and chain[-len(words)] == words[0] for chain in CHAINS)


def fits(chain: tuple[str, ...], words: tuple[str, ...]) -> bool:
    same = (known in ("*", word) for known, word in zip(chain, words, strict=False))
    return len(chain) == len(words) and all(same)


@on_every_page
def test_a_setting_exists(page: Path) -> None:
    named = re.findall(r"`(stack|[a-z_]+)((?:\.(?:[a-z_]+|<\w+>))+)(?:`|[:=])", text(page))
    paths = [tuple(f"{first}{rest}".split(".")) for first, rest in named if first in {"stack", *TABLES}]
    wrong = [
        path
        for path in paths
        if not (any(fits(chain, path[1:]) for chain in CHAINS) if path[0] == "stack" else is_setting(path))
    ]
    assert [".".join(path) for path in wrong if path[-1] != "yml"] == []


def faults(table: Table, example: Mapping[str, Any]) -> list[str]:
    """What a deployment would refuse; an example may leave things out, and may abbreviate a value."""
    noted = Faults()
    read(table, example, table.title, noted)
    return [str(fault) for fault in noted.problems if fault.problem != "is missing" and "…" not in str(fault)]


@on_every_page
def test_an_example_says_what_a_stack_may_say(page: Path) -> None:
    assert [fault for table, example in examples(page) for fault in faults(table, example)] == []


@on_every_page
def test_a_unit_exists(page: Path) -> None:
    assert unknown(page, r"\bslipway-[a-z]+(?:-[a-z]+)*\b(?![*-])") == []


@on_every_page
def test_a_metric_or_variable_of_ours_exists(page: Path) -> None:
    assert unknown(page, METRIC) + unknown(page, VARIABLE) + unknown(page, r"\bSLIPWAY_[A-Z_]+") == []


@on_every_page
def test_a_module_exists(page: Path) -> None:
    named = found(r"slipway\.compose\.(\w+)", page)
    assert [word for word in named if not (CHECKOUT / f"plugins/modules/{word}.py").is_file()] == []


@on_every_page
def test_a_file_of_the_checkout_exists(page: Path) -> None:
    named = [path for path in found(FILE, page) if not NOT_IN_THE_CHECKOUT.match(path)]
    assert [path for path in named if not any(CHECKOUT.glob(path))] == []


@on_every_page
def test_a_container_is_one_of_a_component(page: Path) -> None:
    names = found(r"\bwayfare-([a-z]+(?:-[a-z]+)*)-1\b", page)
    pools = {f"{service}-{pool}" for service in stack().services for pool in ("blue", "green")}
    assert set(names) <= COMPONENTS.keys() | {f"{word}-1" for word in pools} | pools


@cache
def program(path: str) -> str:
    """A program's text, and that of what it runs in its place."""
    said = text(CHECKOUT / path)
    others = re.findall(r"\b(?:molecule|tests)/[\w/]+\.py\b", said)
    return said + "".join(text(CHECKOUT / other) for other in others)


@on_every_page
def test_a_program_takes_its_options(page: Path) -> None:
    bad = []
    for command in commands(page):
        for path, options in re.findall(r"(?:^|\s)(scripts/[a-z-]+)([^\n#;|]*)", command):
            taken = [option for option in re.findall(r"--[a-z-]+", options) if option != "--help"]
            bad += [f"{path} {option}" for option in taken if f'"{option}"' not in program(path)]
    assert bad == []


def test_the_readme_leads_to_every_page() -> None:
    """Those of developers by way of CONTRIBUTING.md."""
    front = text(CHECKOUT / "README.md") + text(CHECKOUT / "CONTRIBUTING.md")
    pages = [name(page) for page in PAGES if page.parent != RUNBOOKS and name(page) != "README.md"]
    assert [page for page in pages if f"]({page})" not in front] == []


def test_the_architecture_names_every_role() -> None:
    page = text(CHECKOUT / "docs/architecture.md")
    assert [role.name for role in (CHECKOUT / "roles").iterdir() if f"`{role.name}`" not in page] == []
