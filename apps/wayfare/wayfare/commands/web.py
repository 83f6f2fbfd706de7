"""`web`: the single page and its assets."""

from __future__ import annotations

from ..lifecycle import Lifecycle
from ..pages import routes
from ..server import application, serve
from ..settings import Settings


async def run(settings: Settings) -> None:
    app = application(Lifecycle(settings))
    app.add_routes(routes())
    await serve(app)
