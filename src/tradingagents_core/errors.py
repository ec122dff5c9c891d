"""Every refusal of the core, in a few families that a driving adapter translates once.

The text of an error is written for the person who meets it and repeats nothing that a stranger sent; the fact itself is
an attribute.
"""

from typing import Final

LASTING_RETRY_SECONDS: Final = 30
"""After how many seconds a caller may ask again for what an operator has to mend first."""


class TradingAgentsError(Exception):
    """Any refusal that a caller of the core can meet."""


class InvalidInput(TradingAgentsError):
    """A value breaks a rule of the domain; nothing was stored.

    `field` names the value as the domain does, `rule` is a stable word for programs, and `message` goes on from the
    name ("should not be blank").
    """

    def __init__(self, *, field: str, rule: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field
        self.rule = rule


class AuthenticationFailed(TradingAgentsError):
    """The caller could not be identified."""


class InvalidCredentials(AuthenticationFailed):
    """E-mail and password do not belong to an active user; which of the three was wrong is not said."""

    def __init__(self) -> None:
        super().__init__("Incorrect e-mail or password")


class InvalidToken(AuthenticationFailed):
    """The token was not issued here, has expired, or belongs to nobody who may use it."""

    def __init__(self) -> None:
        super().__init__("Invalid or expired token")


class TooManyAttempts(TradingAgentsError):
    """The caller has to wait `retry_after` seconds before the next try."""

    def __init__(self, *, retry_after: int) -> None:
        super().__init__("Too many attempts to log in; try again later")
        self.retry_after = retry_after


class NotFound(TradingAgentsError):
    """What was asked for does not exist for this caller."""


class StrategyNotFound(NotFound):
    """The owner has no strategy with this id; somebody else's counts as none."""

    def __init__(self, strategy_id: int) -> None:
        super().__init__("Strategy not found")
        self.strategy_id = strategy_id


class UserNotFound(NotFound):
    """There is no such user; `user` is the id or e-mail that was looked for."""

    def __init__(self, user: int | str) -> None:
        super().__init__("User not found")
        self.user = user


class Conflict(TradingAgentsError):
    """The change clashes with what is stored already."""


class StrategyNameTaken(Conflict):
    """The owner has another strategy of exactly this name."""

    def __init__(self, name: str) -> None:
        super().__init__("You already have a strategy with this name")
        self.name = name


class EmailTaken(Conflict):
    """Another user has this e-mail."""

    def __init__(self, email: str) -> None:
        super().__init__("A user with this e-mail already exists")
        self.email = email


class Unavailable(TradingAgentsError):
    """Something the rules depend on is away or busy; the same call may succeed later.

    `reason` is what the adapter met, for operators and logs only; `retry_after` is a suggestion in whole seconds;
    `is_logged` says that the log has the reason already, once for all who meet it. `is_lasting` says that every call
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
    """More passwords are waiting to be hashed than would be in reasonable time."""

    def __init__(self) -> None:
        super().__init__("Too many logins at once; try again shortly", reason="too many passwords wait to be hashed")


class LoginTookTooLong(Unavailable):
    """The password could not be checked in time, because the database or the machine is slow."""

    def __init__(self) -> None:
        super().__init__("The login took too long; try again shortly", reason="a login took too long")


class StoreUnavailable(Unavailable):
    """The store is away, busy or out of connections.

    A change whose block ended with this error may have been kept or not: read before you repeat it.
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


def explained(error: Exception) -> str:
    """What the person who runs the service is told: the error, and why where something is unavailable."""
    if not isinstance(error, Unavailable):
        return str(error)
    return error.reason if error.is_lasting else f"{error} ({error.reason})"
