"""The contract of `Callers`, as tests."""

import asyncio
from typing import ClassVar

import pytest

from tradingagents_conformance.examples import FOREIGN_IDS
from tradingagents_conformance.opening import EndAccount, IssueCredential
from tradingagents_core.ports import Callers


class CallersContract:
    """Every sentence of `Callers`.

    A subclass defines the fixtures `callers`, `issue_credential` and `end_account`, and may set the attribute below.
    """

    patience: ClassVar[float] = 30
    """Seconds after which an operation counts as hanging."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def callers(self) -> Callers:
        """Defined by the author of the adapter."""
        raise NotImplementedError("a subclass of CallersContract has to define the fixture callers")

    @pytest.fixture
    def issue_credential(self) -> IssueCredential:
        """Defined by the author of the adapter: makes a new user, and a credential that finds the user."""
        raise NotImplementedError("a subclass of CallersContract has to define the fixture issue_credential")

    @pytest.fixture
    def end_account(self) -> EndAccount:
        """Defined by the author of the adapter: ends a user's account, and does not call `Callers.forget`."""
        raise NotImplementedError("a subclass of CallersContract has to define the fixture end_account")

    # Finding

    async def test_a_credential_finds_its_caller(self, callers: Callers, issue_credential: IssueCredential) -> None:
        credential, user_id = await issue_credential()

        assert await _user_id(callers, credential) == user_id

    async def test_a_caller_is_found_the_same_each_time(
        self, callers: Callers, issue_credential: IssueCredential
    ) -> None:
        credential, _ = await issue_credential()
        first = await callers.find(credential)

        assert first is not None
        assert [await callers.find(credential) for _ in range(2)] == [first, first]

    async def test_each_credential_finds_its_own_caller(
        self, callers: Callers, issue_credential: IssueCredential
    ) -> None:
        issued = [await issue_credential() for _ in range(3)]

        for _ in range(2):
            assert [await _user_id(callers, credential) for credential, _ in issued] == [
                user_id for _, user_id in issued
            ]

    async def test_any_other_text_finds_no_caller(self, callers: Callers, issue_credential: IssueCredential) -> None:
        credential, user_id = await issue_credential()
        others = [
            *("", " ", "\x00", "é", "\ud800", "None", "x" * 100_000, str(user_id)),
            *(credential[1:], credential[:-1], credential * 2, f" {credential}", f"{credential}\n"),
        ]

        assert [await callers.find(text) for text in others] == [None] * len(others)
        assert await _user_id(callers, credential) == user_id
        assert [await callers.find(text) for text in others] == [None] * len(others)

    async def test_many_callers_are_found_at_once(self, callers: Callers, issue_credential: IssueCredential) -> None:
        issued = [await issue_credential() for _ in range(5)] * 4
        finding = [_user_id(callers, credential) for credential, _ in issued]

        found = await asyncio.wait_for(asyncio.gather(*finding), self.patience)
        assert found == [user_id for _, user_id in issued]

    # Forgetting

    async def test_a_change_takes_effect_once_the_user_is_forgotten(
        self, callers: Callers, issue_credential: IssueCredential, end_account: EndAccount
    ) -> None:
        credential, user_id = await issue_credential()
        await callers.find(credential)
        await end_account(user_id)
        await callers.forget(user_id)

        assert [await callers.find(credential) for _ in range(2)] == [None, None]

    async def test_a_change_takes_effect_although_callers_are_found_meanwhile(
        self, callers: Callers, issue_credential: IssueCredential, end_account: EndAccount
    ) -> None:
        for turns in range(6):
            credential, user_id = await issue_credential()
            finding = [asyncio.ensure_future(callers.find(credential)) for _ in range(4)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await end_account(user_id)
            await callers.forget(user_id)

            assert await callers.find(credential) is None
            await asyncio.wait_for(asyncio.gather(*finding), self.patience)
            assert await callers.find(credential) is None

    async def test_callers_who_have_not_changed_are_found_as_before(
        self, callers: Callers, issue_credential: IssueCredential, end_account: EndAccount
    ) -> None:
        ann, bob = await issue_credential(), await issue_credential()
        before = await callers.find(ann[0])
        await callers.find(bob[0])
        await end_account(bob[1])
        await callers.forget(bob[1])

        assert before is not None
        assert [await callers.find(ann[0]) for _ in range(2)] == [before, before]

    async def test_a_caller_whose_account_has_not_ended_is_found_again(
        self, callers: Callers, issue_credential: IssueCredential
    ) -> None:
        credential, user_id = await issue_credential()
        await callers.find(credential)
        await callers.forget(user_id)

        assert await _user_id(callers, credential) == user_id

    async def test_forgetting_an_unknown_user_changes_nothing(
        self, callers: Callers, issue_credential: IssueCredential
    ) -> None:
        credential, user_id = await issue_credential()
        await callers.find(credential)
        for foreign_id in FOREIGN_IDS:
            await callers.forget(foreign_id)

        assert await _user_id(callers, credential) == user_id


async def _user_id(callers: Callers, credential: str) -> int | None:
    caller = await callers.find(credential)
    return caller.user_id if caller is not None else None
