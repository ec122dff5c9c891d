"""Paths of the API."""

from typing import Final

from starlette.types import Scope

API: Final = "/api/v1"
AUTH: Final = f"{API}/auth"
LOGIN: Final = f"{AUTH}/login"
REFRESH: Final = f"{AUTH}/refresh"
LOGOUT: Final = f"{AUTH}/logout"
SESSIONS: Final = f"{AUTH}/sessions"
ME: Final = f"{AUTH}/me"
PASSWORD: Final = f"{AUTH}/password"
REGISTER: Final = f"{AUTH}/register"
API_KEYS: Final = f"{API}/api-keys"
STRATEGIES: Final = f"{API}/strategies"
PUBLIC_KEYS: Final = "/.well-known/jwks.json"


def prefix_of(path: str) -> str:
    """The part of a path before `API`: the prefix under which an application has included the routes."""
    return path.rpartition(f"{API}/")[0]


def path_for_clients(scope: Scope) -> str:
    """The path of a request as the client has sent it, also if a proxy has stripped a prefix from the path.

    An application that is mounted in another one finds the prefix of the proxy in `app_root_path`.
    """
    path: str = scope["path"]
    stripped: str = scope.get("app_root_path", scope.get("root_path", ""))
    return path if path.startswith(f"{stripped}/") else stripped + path
