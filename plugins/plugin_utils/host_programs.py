"""Programs of the hosts: each a folder that Python runs, the role's main file and what that imports."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[1]
CORE = PLUGINS / "module_utils" / "_core"
MAINS = PLUGINS.parent / "roles" / "host" / "files"
_MAIN = "_main.py"


def programs() -> list[str]:
    return sorted(path.name.removesuffix(_MAIN) for path in MAINS.glob(f"*{_MAIN}"))


@lru_cache
def sources(program: str) -> dict[str, Path]:
    """Where each file of a program's folder comes from, by its path there."""
    main = MAINS / f"{program}{_MAIN}"
    found: dict[str, Path] = {"__main__.py": main}
    fresh = [main]
    while fresh:
        for part in _imported(fresh.pop()):
            path = f"core/{part.relative_to(CORE).as_posix()}"
            if path not in found:
                found[path] = part
                fresh.append(part)
    return found


def _imported(file: Path) -> list[Path]:
    """Modules of the core that a file names: `core.x` in a main file, relative ones among the core's own."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module or ""
        if node.level:
            named = file.parents[node.level - 1] / module.replace(".", "/")
        elif module.startswith("core."):
            named = CORE / module.removeprefix("core.").replace(".", "/")
        else:
            continue
        as_module = named.with_suffix(".py")
        found += [as_module] if as_module.is_file() else [named / f"{name.name}.py" for name in node.names]
    return found
