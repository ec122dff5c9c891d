"""Paths behind a proxy that strips a prefix."""

from starlette.types import ASGIApp, Receive, Scope, Send


class StrippedPrefix:
    """Puts back the prefix that a proxy has stripped from the path, where the server has not done so itself.

    Links that begin with the path of a request, or with the `root_path` of ASGI, lead back through the proxy then.
    """

    def __init__(self, app: ASGIApp, *, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._prefix and scope["type"] != "lifespan" and not scope.get("root_path"):
            path = scope["path"]
            is_there = path.startswith(f"{self._prefix}/")
            scope = {**scope, "root_path": self._prefix, "path": path if is_there else self._prefix + path}
        await self._app(scope, receive, send)
