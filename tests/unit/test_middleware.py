"""What surrounds every request, given to an application and a server directly: both show what they are sent."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradingagents_core.errors import StoreUnavailable
from tradingagents_http.middleware import (
    BriefStartFailure,
    CloseAfterUpgrade,
    HeadAsGet,
    LastResort,
    RequestIds,
    SafeHeaders,
)

LIFESPAN = {"type": "lifespan"}
EVERYWHERE = {b"x-content-type-options", b"referrer-policy"}


def request(method: str = "GET") -> Scope:
    return {"type": "http", "method": method, "path": "/somewhere", "headers": []}


def answering(*messages: Message) -> ASGIApp:
    """An application that answers with these messages, whatever it is asked."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(dict(message))

    return application


def start(media_type: str = "application/json") -> Message:
    return {"type": "http.response.start", "status": 200, "headers": [(b"content-type", media_type.encode())]}


BODY: Message = {"type": "http.response.body", "body": b"{}"}


def sent_by(application: ASGIApp, scope: Scope) -> list[Message]:
    """What a server is sent by an application."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(SafeHeaders, id="SafeHeaders"),
        pytest.param(HeadAsGet, id="HeadAsGet"),
        pytest.param(LastResort, id="LastResort"),
        pytest.param(lambda app: BriefStartFailure(app, expected=(StoreUnavailable,)), id="BriefStartFailure"),
    ],
)
@pytest.mark.parametrize("scope", [LIFESPAN, {"type": "websocket"}], ids=["lifespan", "websocket"])
def test_what_is_no_request_passes_as_it_is(wrapped: Callable[[ASGIApp], ASGIApp], scope: Scope) -> None:
    seen: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope))
        await send(await receive())

    assert sent_by(wrapped(application), scope) == [{"type": "http.request"}]
    assert seen == [scope]


# Answers to HEAD


def test_the_answer_to_head_is_the_head_of_the_answer_to_get_without_the_body() -> None:
    asked: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["method"])
        await answering(start(), BODY)(scope, receive, send)

    sent = sent_by(HeadAsGet(application), request("HEAD"))
    assert asked == ["GET"]
    assert sent == [start(), {**BODY, "body": b""}]


def test_the_answer_to_get_keeps_its_body() -> None:
    assert sent_by(HeadAsGet(answering(start(), BODY)), request("GET")) == [start(), BODY]


# Mistakes of the service


def failing(*messages: Message) -> ASGIApp:
    """An application that breaks after these messages."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(*messages)(scope, receive, send)
        raise ZeroDivisionError

    return application


def test_a_failure_before_the_answer_is_answered_with_500_and_the_id_of_the_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    head, _ = sent_by(RequestIds(LastResort(failing())), request())
    assert head["status"] == 500
    request_id = dict(head["headers"])[b"x-request-id"].decode()
    assert f"Unexpected error in request {request_id}: GET '/somewhere'" in caplog.text


def test_a_failure_within_the_answer_is_left_to_the_server_which_cuts_the_answer_off() -> None:
    with pytest.raises(ZeroDivisionError):
        sent_by(LastResort(failing(start())), request())


def test_a_failure_outside_of_requests_is_left_to_the_server() -> None:
    with pytest.raises(ZeroDivisionError):
        sent_by(LastResort(failing()), LIFESPAN)


# Headers


def names_added(media_type: str) -> set[bytes]:
    head, _ = sent_by(SafeHeaders(answering(start(media_type), BODY)), request())
    return {name for name, _ in head["headers"]} - {b"content-type"}


def test_data_is_neither_kept_by_caches_nor_shown_in_frames() -> None:
    assert names_added("application/json") == EVERYWHERE | {b"cache-control", b"content-security-policy"}


def test_a_page_runs_its_own_scripts_only() -> None:
    assert names_added("text/html; charset=utf-8") == EVERYWHERE | {b"content-security-policy"}


@pytest.mark.parametrize("media_type", ["text/javascript", "text/css", "image/png"])
def test_what_a_page_consists_of_may_be_kept_by_caches(media_type: str) -> None:
    assert names_added(media_type) == EVERYWHERE


def test_an_answer_without_a_body_is_as_safe_as_data() -> None:
    head, _ = sent_by(SafeHeaders(answering({"type": "http.response.start", "status": 204}, BODY)), request())
    assert {b"cache-control", b"content-security-policy"} <= dict(head["headers"]).keys()


# A start that fails

FAILED: Message = {"type": "lifespan.startup.failed", "message": "Traceback (most recent call last): ..."}


def start_failing_with(error: Exception) -> ASGIApp:
    """An application that says as frameworks do that it does not start because of this error."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise error
        except type(error):
            await send(dict(FAILED))

    return application


def said_of_a_start_that_fails_with(error: Exception) -> Any:
    brief = BriefStartFailure(start_failing_with(error), expected=(StoreUnavailable,))
    (message,) = sent_by(brief, LIFESPAN)
    assert message["type"] == FAILED["type"]
    return message["message"]


def test_an_expected_reason_why_a_start_fails_is_said_in_one_line() -> None:
    said = said_of_a_start_that_fails_with(StoreUnavailable(reason="nobody listens"))
    assert said.endswith("(nobody listens)")
    assert "\n" not in said


def test_any_other_reason_why_a_start_fails_is_shown_with_its_trace() -> None:
    assert said_of_a_start_that_fails_with(ZeroDivisionError()) == FAILED["message"]


def test_an_expected_error_on_the_way_changes_nothing_of_a_start_that_succeeds() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise StoreUnavailable(reason="away for a moment")
        except StoreUnavailable:
            await send({"type": "lifespan.startup.complete"})

    brief = BriefStartFailure(application, expected=(StoreUnavailable,))
    assert sent_by(brief, LIFESPAN) == [{"type": "lifespan.startup.complete"}]


def test_a_cancelled_request_is_answered_with_503_unless_its_answer_has_begun() -> None:
    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    async def cancelled_within(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        raise asyncio.CancelledError

    assert [message.get("status") for message in sent_by(LastResort(cancelled), request())] == [503, None]
    with pytest.raises(asyncio.CancelledError):
        sent_by(LastResort(cancelled_within), request())


@pytest.mark.parametrize(
    "bodies",
    [[b"hello"], [b"hello", b""], [b"", b"hello"], [b"hel", b"", b"lo"]],
    ids=["at once", "with an empty end", "late", "with a pause"],
)
def test_a_body_that_arrives_though_an_upgrade_was_offered_is_read(bodies: list[bytes]) -> None:
    messages = [
        {"type": "http.request", "body": body, "more_body": number < len(bodies) - 1}
        for number, body in enumerate(bodies)
    ]
    read = b""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal read
        for _ in bodies:
            read += (await receive())["body"]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        pass

    headers = [(b"upgrade", b"h2c"), (b"transfer-encoding", b"chunked")]
    asyncio.run(CloseAfterUpgrade(application)({**request("POST"), "headers": headers}, receive, send))
    assert read == b"hello"
