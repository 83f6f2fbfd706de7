"""`wayfare web | api | updates | journeys | confirmations | timetable`: one image, six commands."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib import import_module

from . import tracing
from .errors import InvalidSettingsError
from .log import configure
from .settings import Settings

# What each command needs of its environment. Commands are imported only when run: replicas start in a hurry.
NEEDS = {
    "web": (),
    "api": ("database", "redis", "session_key"),
    "updates": ("redis",),
    "journeys": ("database", "redis"),
    "confirmations": ("database", "redis"),
    "timetable": ("database",),
}
EXIT_USAGE = 64
EXIT_CONFIGURATION = 78


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in NEEDS:
        print(f"usage: wayfare {' | '.join(NEEDS)}", file=sys.stderr)
        return EXIT_USAGE
    command = arguments[0]
    try:
        settings = Settings.parse(os.environ, command, NEEDS[command])
    except InvalidSettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    configure(settings)
    if settings.sentry:
        import_module(".reporting", __package__).report_faults(settings.sentry, settings)
    tracing.configure(os.environ)
    settings.misbehaviour.crash_if_told_to_on_start()
    run = import_module(f".commands.{command}", __package__).run
    asyncio.run(run(settings))
    tracing.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
