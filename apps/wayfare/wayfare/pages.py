"""Static files, read once: the page is asked for every time, an asset is kept as long as its digest."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

STATIC = Path(__file__).resolve().parents[1] / "static"
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


@dataclass(frozen=True)
class Page:
    body: bytes
    content_type: str
    digest: str


def load(folder: Path = STATIC) -> dict[str, Page]:
    """File name -> page; in the HTML, `/assets/NAME` becomes `/assets/NAME?v=DIGEST`."""
    pages = {
        path.name: _page(path.name, path.read_bytes()) for path in sorted(folder.iterdir()) if path.is_file()
    }
    html = pages["index.html"].body.decode()
    for name, page in pages.items():
        html = html.replace(f'"/assets/{name}"', f'"/assets/{name}?v={page.digest}"')
    return pages | {"index.html": _page("index.html", html.encode())}


def routes() -> list[web.RouteDef]:
    pages = load()

    async def index(request: web.Request) -> web.Response:
        return _answer(request, pages["index.html"], ASK_AGAIN)

    async def asset(request: web.Request) -> web.Response:
        page = pages.get(request.match_info["name"])
        if page is None:
            raise web.HTTPNotFound
        # During a release, one version's page may ask the other version's replica: not an answer to keep.
        return _answer(request, page, FOREVER if request.query.get("v") == page.digest else ASK_AGAIN)

    async def icon(request: web.Request) -> web.Response:
        return _answer(request, pages["icon.svg"], ASK_AGAIN)

    return [web.get("/", index), web.get("/favicon.ico", icon), web.get("/assets/{name}", asset)]


def _page(name: str, body: bytes) -> Page:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Page(body, kind, hashlib.sha256(body).hexdigest()[:16])


def _answer(request: web.Request, page: Page, cache: str) -> web.Response:
    headers = {"ETag": f'"{page.digest}"', "Cache-Control": cache}
    if request.headers.get("If-None-Match", "").removeprefix("W/") == f'"{page.digest}"':
        return web.Response(status=304, headers=headers)
    charset = "utf-8" if page.content_type.startswith("text/") else None
    return web.Response(body=page.body, content_type=page.content_type, charset=charset, headers=headers)
