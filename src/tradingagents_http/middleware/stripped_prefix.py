"""Paths behind a proxy that strips a prefix."""

from starlette.types import ASGIApp, Receive, Scope, Send


class StrippedPrefix:
    """Restores the prefix that a proxy has stripped from the path, unless the server has restored it already.

    The prefix is ASGI's `root_path`, or `prefix` if the server sets none. Links that begin with the path of a request,
    or with `root_path`, then lead back through the proxy.
    """

    def __init__(self, app: ASGIApp, *, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and (prefix := scope.get("root_path") or self._prefix):
            path = scope["path"]
            if not path.startswith(f"{prefix}/"):
                # An application that mounts this one has added the path of the mount to the prefix of the proxy.
                path = scope.get("app_root_path", prefix) + path
            scope = {**scope, "root_path": prefix, "path": path}
        await self._app(scope, receive, send)
