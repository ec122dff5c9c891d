from datetime import timedelta

import pytest
from key_pairs import SECRET, key_text

from tradingagents_adapters.argon2_passwords import Argon2PasswordHasher
from tradingagents_adapters.jwt_tokens import JwtTokenService
from tradingagents_conformance import OpenTokenService, PasswordHasherContract, TokenServiceContract
from tradingagents_core.ports import Clock, PasswordHasher, TokenService


class TestJwtTokenService(TokenServiceContract):
    @pytest.fixture(params=["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"])
    def open_token_service(self, request: pytest.FixtureRequest) -> OpenTokenService:
        def open_jwt_token_service(clock: Clock) -> TokenService:
            return JwtTokenService(
                secret_key=key_text(request.param),
                algorithm=request.param,
                previous_keys=f"HS256 {SECRET}\nES384\n{key_text('ES384')}",
                lifetime=timedelta(minutes=30),
                clock=clock,
            )

        return open_jwt_token_service


class TestArgon2PasswordHasher(PasswordHasherContract):
    @pytest.fixture
    def password_hasher(self) -> PasswordHasher:
        return Argon2PasswordHasher(memory_kib=8, time_cost=2)

    @pytest.fixture
    def weaker_password_hasher(self) -> PasswordHasher:
        return Argon2PasswordHasher(memory_kib=8, time_cost=1)
