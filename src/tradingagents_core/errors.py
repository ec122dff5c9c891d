"""The errors of the core, in a few families. A driving adapter translates each family in one place.

The message of an error is written for users, and repeats no input; the facts are attributes.
"""

from typing import Any, Final

LASTING_RETRY_SECONDS: Final = 30
"""Seconds until a caller may try again, when an operator has to fix the cause."""


class _Copyable:
    """An error whose copies and pickles keep its class, text, attributes and notes.

    The constructor is not called again, so that a subclass may have any parameters.
    """

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _without_constructor, (type(self), self.args), self.__dict__ or None


def _without_constructor(error: type[Exception], args: tuple[Any, ...]) -> Exception:
    return error.__new__(error, *args)


class TradingAgentsError(_Copyable, Exception):
    """Any error that a caller of the core has to expect."""


class InvalidInput(TradingAgentsError):
    """A value breaks a rule of the domain; nothing was stored.

    `field` is the name of the value in the domain, `rule` is a stable identifier for programs, and `message` continues
    the name ("should not be blank"). `path` leads to the fault inside a strategy's parameters: the keys of objects and
    the indexes of arrays, from the outside to the inside. The path is empty for a fault of the whole field.
    """

    def __init__(self, *, field: str, rule: str, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(f"{field} {message}")
        self.field = field
        self.rule = rule
        self.path = path


class AuthenticationFailed(TradingAgentsError):
    """The caller could not be identified."""


class InvalidCredentials(AuthenticationFailed):
    """No active user has this e-mail and password. The error does not say which of the three is wrong."""

    def __init__(self) -> None:
        super().__init__("Incorrect e-mail or password")


class InvalidToken(AuthenticationFailed):
    """The token was not issued by this service, has expired, or its user may not use the service."""

    def __init__(self) -> None:
        super().__init__("Invalid or expired token")


class InvalidRefreshToken(AuthenticationFailed):
    """The refresh token was not issued by this service, has expired or was used before, or its session has ended."""

    def __init__(self) -> None:
        super().__init__("Invalid or expired refresh token")


class Forbidden(TradingAgentsError):
    """The caller is known, but may not do this."""


class InsufficientScope(Forbidden):
    """The credential does not allow `scope`."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs the scope {scope}")
        self.scope = scope


class NotForApiKeys(Forbidden):
    """An API key manages neither keys nor sessions nor passwords."""

    def __init__(self) -> None:
        super().__init__("An API key may not do this; log in")


class RegistrationDisabled(Forbidden):
    """The operator of the service creates the accounts."""

    def __init__(self) -> None:
        super().__init__("Accounts are created by the operator of this service")


class TooManyAttempts(TradingAgentsError):
    """The caller has to wait `retry_after` seconds before the next attempt."""

    def __init__(self, *, retry_after: int) -> None:
        super().__init__("Too many attempts to log in; try again later")
        self.retry_after = retry_after


class NotFound(TradingAgentsError):
    """The requested object does not exist for this caller."""


class StrategyNotFound(NotFound):
    """The owner has no strategy with this id; another owner may have it."""

    def __init__(self, strategy_id: int) -> None:
        super().__init__("Strategy not found")
        self.strategy_id = strategy_id


class SessionNotFound(NotFound):
    """The user has no live session with this id; another user may have it."""

    def __init__(self, session_id: int) -> None:
        super().__init__("Session not found")
        self.session_id = session_id


class ApiKeyNotFound(NotFound):
    """The user has no API key with this id; another user may have it."""

    def __init__(self, api_key_id: int) -> None:
        super().__init__("API key not found")
        self.api_key_id = api_key_id


class UserNotFound(NotFound):
    """No user has this id or e-mail, which is in `user`."""

    def __init__(self, user: int | str) -> None:
        super().__init__("User not found")
        self.user = user


class Conflict(TradingAgentsError):
    """The change conflicts with stored data."""


class StrategyNameTaken(Conflict):
    """The owner has another strategy with exactly this name."""

    def __init__(self, name: str) -> None:
        super().__init__("You already have a strategy with this name")
        self.name = name


class EmailTaken(Conflict):
    """Another user has this e-mail."""

    def __init__(self, email: str) -> None:
        super().__init__("A user with this e-mail already exists")
        self.email = email


class TooManyApiKeys(Conflict):
    """The user has `maximum` live API keys."""

    def __init__(self, maximum: int) -> None:
        super().__init__(f"You have {maximum} API keys already; revoke one first")
        self.maximum = maximum


class Unavailable(TradingAgentsError):
    """The database or another dependency is unavailable or busy; the same call may succeed later.

    `reason` says what happened, for operators and logs only. `retry_after` is a suggestion in whole seconds.
    `is_logged` says that the log has the reason already, once for all failed calls. `is_lasting` says that every call
    fails until an operator has done what `reason` says.
    """

    def __init__(
        self, message: str, *, reason: str, retry_after: int = 1, is_logged: bool = False, is_lasting: bool = False
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after
        self.is_logged = is_logged
        self.is_lasting = is_lasting


class PasswordHasherBusy(Unavailable):
    """Too many passwords are waiting to be hashed."""

    def __init__(self) -> None:
        super().__init__("Too many logins at once; try again shortly", reason="too many passwords wait to be hashed")


class LoginTookTooLong(Unavailable):
    """The password could not be checked in time, because the database or the machine is slow."""

    def __init__(self) -> None:
        super().__init__(
            "The login took too long; try again shortly",
            reason="the database or the machine is too slow: a password could not be checked in time",
        )


class StoreUnavailable(Unavailable):
    """The store is unavailable, busy or out of connections.

    A block that ended with this error may or may not have been committed: read before you repeat the change.
    """

    def __init__(self, *, reason: str, retry_after: int = 1, is_logged: bool = False, is_lasting: bool = False) -> None:
        super().__init__(
            "The database cannot be used until the operator of the service has mended it"
            if is_lasting
            else "The database is not available at the moment; try again shortly",
            reason=reason,
            retry_after=max(retry_after, LASTING_RETRY_SECONDS) if is_lasting else retry_after,
            is_logged=is_logged,
            is_lasting=is_lasting,
        )


class Misuse(_Copyable, RuntimeError):
    """A mistake in the program that uses the core. To repeat the call does not help; the program has to be changed.

    No `TradingAgentsError`, so that a program that handles refusals does not handle its own mistakes like refusals.
    """


class NotRunning(Misuse):
    """A core or store was used before its start, or after its end."""

    def __init__(self) -> None:
        super().__init__(
            "This core or store is not running: use it inside its block `async with ...`, not before and not after"
        )


class WrongEventLoop(Misuse):
    """A core or store was used in another event loop than the one in which it was started."""

    def __init__(self) -> None:
        super().__init__("This core or store belongs to another event loop: open one for each event loop")


class NestedBlock(Misuse):
    """A task that has a writing block open has begun another one, for which the task would wait for ever."""

    def __init__(self) -> None:
        super().__init__(
            "This task has a writing block open: end that block first, or work in it with `core.within(work)`"
        )


class BlockFailed(Misuse):
    """A writing block has caught the error of a refused change, and has ended normally. Nothing was kept."""

    def __init__(self) -> None:
        super().__init__(
            "A change in this block was refused, and the block caught the error: nothing was kept; let the error leave"
            " the block, and catch it outside"
        )


class BlockEnded(Misuse):
    """The repository of a writing block was used after the end of the block."""

    def __init__(self) -> None:
        super().__init__("This block has ended: open a new one")


class BlockOfAnotherOwner(Misuse):
    """A use case within a writing block was called for another owner than `owner_id`, the owner of the block."""

    def __init__(self, owner_id: int) -> None:
        super().__init__("This block belongs to another owner than the caller: open a block of the caller's own")
        self.owner_id = owner_id


class KeyMissing(Misuse):
    """A core without a key was asked to issue or verify a token."""

    def __init__(self) -> None:
        super().__init__("This core has no key for tokens: pass `secret_key`, or `tokens` of your own")


def explained(error: Exception) -> str:
    """The text of an error for operators, with the reason if a dependency is unavailable."""
    if not isinstance(error, Unavailable):
        return str(error)
    return error.reason if error.is_lasting else f"{error} ({error.reason})"
