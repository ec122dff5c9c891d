"""Tokens of a core that has no key."""

from datetime import timedelta
from typing import NoReturn

from tradingagents_core.domain.authentication import TokenClaims
from tradingagents_core.errors import KeyMissing
from tradingagents_core.ports import TokenService


class KeylessTokenService(TokenService):
    """Stands for the tokens of a core that was given no key, and needs none until tokens are issued or verified.

    Raises:
        KeyMissing: a token is issued or verified.
    """

    @property
    def lifetime(self) -> timedelta:
        return timedelta(0)

    def issue(self, *, user_id: int, session_id: int) -> NoReturn:
        raise KeyMissing

    def verify(self, token: str) -> TokenClaims:
        raise KeyMissing
