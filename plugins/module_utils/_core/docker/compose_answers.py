"""What Compose says of a file, remembered by what stands in it: each question costs a start of Compose."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..tree import File, write_file

# Below the stack's folder.
ANSWERS = "state/compose.json"
# Where Docker looks for it, in its order.
PLUGINS = tuple(
    Path(folder) / "docker/cli-plugins/docker-compose"
    for folder in ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")
)
# Two questions of each of the releases that a run looks at, and of some before it.
KEPT = 24


class ComposeAnswers:
    """Answers of one host's Compose: the same file gets the same answer until Compose is another one.

    path: where they are kept. kept: False where nothing may be left behind, as in a dry run.
    """

    def __init__(self, path: Path, *, kept: bool, plugins: Sequence[Path] = PLUGINS) -> None:
        self._path = path
        self._kept = kept
        self._compose = _identity(plugins)

    def of(self, question: str, file: str, ask: Callable[[], str]) -> str:
        """The remembered answer to a question about a file, else what `ask` says; refusals are forgotten."""
        if not self._compose:
            return ask()
        content = Path(file).read_bytes()
        key = hashlib.sha256(f"{self._compose}\0{question}\0".encode() + content).hexdigest()
        known = self._known()
        if key not in known:
            known[key] = ask()
            if self._kept:
                newest = dict(list(known.items())[-KEPT:])
                text = json.dumps(newest, indent=1) + "\n"
                write_file(self._path, File(self._path.name, text, 0o644, os.geteuid()))
        return known[key]

    def _known(self) -> dict[str, str]:
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return dict(told) if isinstance(told, dict) else {}


def _identity(plugins: Sequence[Path]) -> str:
    """The Compose that Docker would start; "" where it is none that is known: then nothing is remembered."""
    for plugin in plugins:
        if plugin.is_file():
            status = plugin.stat()
            return f"{plugin} {status.st_size} {status.st_mtime_ns}"
    return ""
