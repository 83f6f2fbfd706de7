"""What the textfile collector of node-exporter reads: Prometheus's text format, in files of their own.

Programs that roles/host installs write them, so that nothing but Python may be needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

# Metric, labels as they are written ("" for none), value.
Sample = tuple[str, str, float]


def text(samples: Iterable[Sample], about: Mapping[str, str]) -> str:
    """Each metric in one piece. about: its type and a sentence, `gauge Memory in use.`"""
    lines: dict[str, list[str]] = {}
    for metric, labels, value in samples:
        lines.setdefault(metric, []).append(f"{metric}{f'{{{labels}}}' if labels else ''} {value}\n")
    return "".join(_header(metric, about[metric]) + "".join(told) for metric, told in lines.items())


def _header(metric: str, about: str) -> str:
    kind, words = about.split(" ", 1)
    return f"# HELP {metric} {words}\n# TYPE {metric} {kind}\n"


@contextmanager
def replacing(file: Path) -> Iterator[TextIO]:
    """A stream that becomes the file, by rename: a reader never sees half of it."""
    fresh = file.with_name(f".{file.name}.new")
    with fresh.open("w", encoding="utf-8") as stream:
        yield stream
    fresh.chmod(0o644)
    fresh.rename(file)


def write(file: Path, content: str) -> None:
    with replacing(file) as stream:
        stream.write(content)
