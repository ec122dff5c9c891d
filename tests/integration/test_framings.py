"""Requests in every framing, sent to each way of serving: which requests are executed.

The reference is uvicorn on h11, which gets the same requests without offers of an upgrade.
"""

import json
import random
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from processes import GUNICORN, KEY, SERVE, UVICORN, Machine, Server

EMAIL: Final = "user@example.com"
PASSWORD: Final = "SecurePassword123"
STREAMS: Final = 60
SEED: Final = 20_261_125
BOUND_SECONDS: Final = 30

H11: Final = (*UVICORN, "--http", "h11", "--no-access-log")
SERVERS: Final = {"h11": H11, "serve": SERVE, "uvicorn": UVICORN, "gunicorn": GUNICORN}

OFFERS: Final = (
    "Connection: Upgrade\r\nUpgrade: x\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n",
    "upgrade: websocket\r\nconnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n",
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that creates a strategy where it is executed with its own headers and body."""

    name: str
    is_valid: bool
    offer: str
    head: str
    rest: bytes

    def wire(self, *, offering: bool) -> bytes:
        return (self.head + (self.offer if offering else "")).encode() + self.rest


class Writer:
    """Writes requests in all kinds of framing."""

    def __init__(self, seed: int, token: str) -> None:
        self._random = random.Random(seed)
        self._authorization = f"Authorization: Bearer {token}\r\n"
        self._count = 0

    def stream(self) -> list[Sent]:
        count = self._random.randint(1, 4)
        return [self._request(is_last=number == count - 1) for number in range(count)]

    def cut(self, stream: bytes) -> list[bytes]:
        """The stream in pieces: whole, byte by byte, or cut anywhere."""
        kind = self._random.random()
        if kind < 0.3:
            return [stream]
        if kind < 0.5:
            return [stream[at : at + 1] for at in range(len(stream))]
        cuts = sorted(self._random.randrange(len(stream)) for _ in range(self._random.randint(1, 8)))
        return [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    def _request(self, *, is_last: bool) -> Sent:
        choose = self._random.choice
        self._count += 1
        name = f"strategy {self._count}"
        kind = choose(["plain"] * 4 + ["a token in a trailer", "a request in the body"])
        body = json.dumps({"name": name, "parameters": {"padding": "x" * choose([0, 0, 10, 5000])}})
        if kind == "a request in the body":
            inner = json.dumps({"name": f"stolen {self._count}"})
            body = self._head(with_token=True) + f"Content-Length: {len(inner)}\r\n\r\n{inner}"
        head = self._head(with_token=kind != "a token in a trailer", is_last=is_last)
        chunked = kind == "a token in a trailer" or choose([True, False])
        rest = self._chunks(body) if chunked else f"Content-Length: {len(body)}\r\n\r\n{body}"
        offer = choose(OFFERS) if self._random.random() < 0.4 else ""
        return Sent(name, kind == "plain", offer, head, rest.encode())

    def _head(self, *, with_token: bool, is_last: bool = False) -> str:
        version = self._random.choice(["1.1", "1.1", "1.0"]) if is_last else "1.1"
        return (
            f"POST /api/v1/strategies HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + (self._authorization if with_token else "")
            + ("Connection: close\r\n" if is_last else "")
        )

    def _chunks(self, body: str) -> str:
        wire = "Transfer-Encoding: chunked\r\n\r\n"
        while body:
            size = self._random.randint(1, len(body))
            wire += f"{size:x}{self._random.choice(['', ';extension=1'])}\r\n{body[:size]}\r\n"
            body = body[size:]
        trailers = self._random.choice(["", "X-Other: x\r\nUpgrade: x\r\n", "X-Forwarded-For: 192.0.2.1\r\n"])
        return f"{wire}0\r\n{self._authorization}{trailers}\r\n"


@dataclass(frozen=True, slots=True)
class Account:
    """The files of a database with an account, and the token of the account's session."""

    files: Sequence[Path]
    token: str


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Account:
    machine = Machine(tmp_path_factory.mktemp("account"), {"JWT_SECRET_KEY": KEY})
    created = machine.run("tradingagents", "users", "create", EMAIL, "--password-stdin", typed=f"{PASSWORD}\n")
    assert created.returncode == 0, created.stderr
    with machine.serving(*SERVE) as server:
        token = server.token(EMAIL, PASSWORD)
    return Account(list(machine.folder.glob("tradingagents.db*")), token)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, account: Account) -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        running = {}
        for name, command in SERVERS.items():
            folder = tmp_path_factory.mktemp(name)
            for file in account.files:
                shutil.copy(file, folder)
            running[name] = stack.enter_context(Machine(folder, {"JWT_SECRET_KEY": KEY}).serving(*command))
        yield running


def exchange(server: Server, pieces: Sequence[bytes]) -> bytes:
    """The answers of a server until it closes the connection."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.client.base_url.port), timeout=BOUND_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                connection.sendall(piece)
            while more := connection.recv(65536):
                answer += more
        except (BrokenPipeError, ConnectionResetError):
            # The server reads no more. Its answers may be lost on the way, as for any client.
            pass
    return answer


def names(server: Server, token: str) -> set[str]:
    answer = server.client.get("/api/v1/strategies?limit=1000", headers={"Authorization": f"Bearer {token}"})
    return {item["name"] for item in answer.json()["items"]}


@pytest.fixture(scope="module")
def streams(servers: dict[str, Server], account: Account) -> list[list[Sent]]:
    """The streams that were sent to every server, one connection after another."""
    # One token for all servers: they have the same key, and copies of one database.
    writer = Writer(SEED, account.token)
    streams = [writer.stream() for _ in range(STREAMS)]
    for stream in streams:
        pieces = writer.cut(b"".join(each.wire(offering=True) for each in stream))
        for name, server in servers.items():
            exchange(server, [each.wire(offering=False) for each in stream] if name == "h11" else pieces)
    return streams


@pytest.fixture(scope="module")
def stored(servers: dict[str, Server], streams: list[list[Sent]], account: Account) -> dict[str, set[str]]:
    """The names of the strategies that each server stored."""
    return {name: names(server, account.token) for name, server in servers.items()}


def test_h11_executes_what_was_meant_and_nothing_else(streams: list[list[Sent]], stored: dict[str, set[str]]) -> None:
    assert stored["h11"] == {each.name for stream in streams for each in stream if each.is_valid}


def test_serve_executes_the_same_whatever_is_offered(stored: dict[str, set[str]]) -> None:
    assert stored["serve"] == stored["h11"]


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_the_documented_servers_execute_the_same_up_to_an_offer_and_nothing_after_it(
    streams: list[list[Sent]], stored: dict[str, set[str]], server: str
) -> None:
    before, offering = set(), set()
    for stream in streams:
        for each in stream:
            if each.offer:
                offering.add(each.name)
                break
            before.add(each.name)

    assert before & stored["h11"] <= stored[server]
    # A request with an offer of its own is refused where its body was lost.
    assert stored[server] <= (before | offering) & stored["h11"]


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_an_answer_to_an_offer_closes_the_connection_and_says_why_the_body_was_lost(
    servers: dict[str, Server], server: str
) -> None:
    body = b"username=user@example.com&password=SecurePassword123"
    head = (
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    answer = exchange(servers[server], [head + body])

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer.lower()
    assert b"upgrade" in answer.partition(b"\r\n\r\n")[2]
    assert answer.count(b"HTTP/1.1 ") == 1


def test_serve_takes_a_login_that_offers_an_upgrade(servers: dict[str, Server]) -> None:
    response = servers["serve"].client.post(
        "/api/v1/auth/login",
        data={"username": EMAIL, "password": PASSWORD},
        headers={
            "Connection": "Upgrade, HTTP2-Settings",
            "Upgrade": "h2c",
            "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA",
        },
    )
    assert response.status_code == 200
    assert list(response.json()) == ["access_token", "token_type", "expires_in"]
