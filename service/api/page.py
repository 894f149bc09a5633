"""``/``, ``/docs`` and ``/web/…``: the page, the API's own page, and the files both are made of.

Every file is read once, at start. A browser asks anew each time and is told by the ETag that
nothing changed. What the page may load, and from where, is its Content-Security-Policy: from here
alone, and nothing inline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from service.api.errors import NotFound
from service.api.static import StaticFile

PATHS = ("/", "/docs", "/web/{path:path}")

# Beside the packages: in the checkout, in the image and in site-packages.
WEB = Path(__file__).resolve().parent.parent.parent / "web"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",  # a licence
}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


Endpoint = Callable[[Request], Awaitable[Response]]


class Page:
    """The three endpoints.

    Args:
        folder: whose files are served, by their path in it.

    Raises:
        OSError: there is no such folder, or a file can't be read.
        ValueError: a file is of a kind that no browser is to be sent.
    """

    def __init__(self, folder: Path = WEB) -> None:
        self._files = read_files(folder)
        for name in ("index.html", "docs.html"):
            if name not in self._files:
                raise FileNotFoundError(f"{folder / name} is part of the service, and isn't there")

    def endpoints(self) -> dict[str, tuple[str, Endpoint]]:
        """Each path that is answered here, with its method."""
        endpoints = (self.index, self.docs, self.file)
        return {path: ("GET", answer) for path, answer in zip(PATHS, endpoints, strict=True)}

    async def index(self, request: Request) -> Response:
        return self._answer(request, "index.html")

    async def docs(self, request: Request) -> Response:
        return self._answer(request, "docs.html")

    async def file(self, request: Request) -> Response:
        return self._answer(request, request.path_params["path"])

    def _answer(self, request: Request, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            raise NotFound("no such file; the page is at /")
        return file.answer(request, HEADERS)


def read_files(folder: Path) -> Mapping[str, StaticFile]:
    """Every file below ``folder``, by its path there. Raises as ``Page`` does."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} has the page's files, and isn't there")
    files: dict[str, StaticFile] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        if path.suffix not in CONTENT_TYPES:
            raise ValueError(f"{path} has no known content type; there are: {[*CONTENT_TYPES]}")
        name = path.relative_to(folder).as_posix()
        files[name] = StaticFile.of(path.read_bytes(), CONTENT_TYPES[path.suffix])
    return files
