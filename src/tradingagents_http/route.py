"""The class of all routes of the API. What a route needs comes with the route, in whichever application it is."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, ClassVar, Final, cast

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, _effective_route_context_var
from starlette.types import Receive, Scope, Send

from tradingagents_http.errors import ErrorAnswers, error_response
from tradingagents_http.paths import prefix_of
from tradingagents_http.requests.bodies import StrictRequest, announced_bytes, limited, too_large
from tradingagents_http.requests.credentials import BearerToken

_HANDLERS: Final = "starlette.exception_handlers"
"""Where Starlette's wrapper of a route finds the handlers of exceptions in the ASGI scope."""


class StrictRoute(APIRoute):
    """A route with strictly read requests (`StrictRequest`), with a limit of the body, and with its own error answers.

    A body whose `Content-Length` exceeds the limit is refused with 413 unread, before the caller is known; other bodies
    are refused while they are read. The application's handlers of exceptions get only the exceptions that `answers`
    leaves to the application.
    """

    answers: ClassVar[ErrorAnswers]
    body_max_bytes: ClassVar[int]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if announced_bytes(scope) > self.body_max_bytes:
            await error_response(413, too_large(self.body_max_bytes))(scope, receive, send)
            return
        scope[_HANDLERS] = (self.answers.handlers, {})
        await super().handle(scope, limited(receive, self.body_max_bytes), send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function that answers a request. FastAPI calls this method again for each inclusion of the route."""
        _adapt_to_inclusion(self)
        handle = super().get_route_handler()
        _describe_api_keys(self)
        if self.body_field is None:
            return handle

        async def handle_strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly


def strict_route(answers: ErrorAnswers, *, body_max_bytes: int) -> type[StrictRoute]:
    """The class of routes with these error answers and this limit of the body."""

    class Route(StrictRoute):
        pass

    Route.answers = answers
    Route.body_max_bytes = body_max_bytes
    return Route


def _adapt_to_inclusion(route: APIRoute) -> None:
    """Describe the login in the OpenAPI document of the application that includes the route, with its path there."""
    included = _effective_route_context_var.get()
    if included is None or included.original_route is not route:
        return
    # FastAPI keeps here the application in whose document the route will stand.
    application = included.dependency_overrides_provider
    root_path = application.root_path.rstrip("/") if isinstance(application, FastAPI) else ""
    for dependency in included.dependant.dependencies:
        if isinstance(dependency.call, BearerToken):
            dependency.call = dependency.call.included(root_path=root_path, prefix=prefix_of(included.path_format))


def _describe_api_keys(route: APIRoute) -> None:
    """Describe API keys in the OpenAPI document, for a route that takes keys.

    FastAPI describes dependencies only. This one is added after FastAPI has made the function that answers requests, so
    that it takes no time in requests.
    """
    included = _effective_route_context_var.get()
    described = route if included is None or included.original_route is not route else included
    schemes = [
        Dependant(call=cast(Callable[..., Any], dependency.call.api_key))
        for dependency in described.dependant.dependencies
        if isinstance(dependency.call, BearerToken) and dependency.call.api_key is not None
    ]
    described.dependant = replace(described.dependant, dependencies=[*described.dependant.dependencies, *schemes])
