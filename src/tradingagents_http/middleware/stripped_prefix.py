"""Paths behind a proxy that strips a prefix."""

from starlette.types import ASGIApp, Receive, Scope, Send


class StrippedPrefix:
    """Restores the prefix that a proxy has stripped from the path, unless the server has restored it already.

    Links that begin with the path of a request, or with ASGI's `root_path`, then lead back through the proxy.
    """

    def __init__(self, app: ASGIApp, *, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._prefix and scope["type"] != "lifespan" and not scope.get("root_path"):
            path = scope["path"]
            has_prefix = path.startswith(f"{self._prefix}/")
            scope = {**scope, "root_path": self._prefix, "path": path if has_prefix else self._prefix + path}
        await self._app(scope, receive, send)
