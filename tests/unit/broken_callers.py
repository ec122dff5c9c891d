"""Callers with one fault each. A test of the kit has to find each fault.

pytest collects this file only on request: see `test_conformance_kit.py`.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from faults import Fault

from tradingagents_conformance import CallersContract, EndAccount, IssueCredential
from tradingagents_core.domain.authentication import Caller
from tradingagents_core.ports import Callers


class PlainCallers(Callers):
    """Callers without faults: a dictionary of credentials. Found callers are cached until the next `forget`."""

    def __init__(self) -> None:
        self.users: dict[str, int] = {}
        self.ids = count(1)
        self.remembered: dict[str, Caller] = {}
        self.changes = 0

    async def issue(self) -> tuple[str, int]:
        user_id = next(self.ids)
        credential = f"{user_id:08d}-secret"
        self.users[credential] = user_id
        return credential, user_id

    async def end(self, user_id: int) -> None:
        self.users = {credential: owner for credential, owner in self.users.items() if owner != user_id}

    async def find(self, credential: str) -> Caller | None:
        if credential in self.remembered:
            return self.remembered[credential]
        changes = self.changes
        caller = await self.look(credential)
        if caller is not None and self.may_remember(changes):
            self.remembered[credential] = caller
        return caller

    async def look(self, credential: str) -> Caller | None:
        user_id = self.users.get(credential)
        await asyncio.sleep(0)
        return None if user_id is None else Caller(user_id=user_id)

    def may_remember(self, changes: int) -> bool:
        return changes == self.changes

    async def forget(self, user_id: int) -> None:
        self.changes += 1
        self.remembered = {key: caller for key, caller in self.remembered.items() if caller.user_id != user_id}


FAULTS: dict[str, Fault] = {}
"""All broken callers, by the name of their fault."""


def named_by(test: str) -> Callable[[type[Any]], type[Any]]:
    def note(broken: type[Any]) -> type[Any]:
        FAULTS[broken.__name__] = Fault(broken, test)
        return broken

    return note


@named_by("test_a_credential_finds_its_caller")
class IdsAreCutTo16Bits(PlainCallers):
    def __init__(self):
        super().__init__()
        self.ids = count(2**16)

    async def look(self, credential):
        caller = await super().look(credential)
        return caller and Caller(user_id=caller.user_id % 2**16 or 1)


@named_by("test_a_caller_is_found_the_same_each_time")
class ACredentialServesOnce(PlainCallers):
    async def find(self, credential):
        caller = await super().find(credential)
        self.users.pop(credential, None)
        self.remembered.pop(credential, None)
        return caller


@named_by("test_each_credential_finds_its_own_caller")
class WhoWasFoundLastIsFoundAgain(PlainCallers):
    async def find(self, credential):
        if self.remembered:
            return next(iter(self.remembered.values()))
        return await super().find(credential)


@named_by("test_any_other_text_finds_no_caller")
class WhiteSpaceAroundCredentialsIsIgnored(PlainCallers):
    async def find(self, credential):
        return await super().find(credential.strip())


@named_by("test_any_other_text_finds_no_caller")
class OddCredentialsAreAnError(PlainCallers):
    async def find(self, credential):
        credential.encode()
        return await super().find(credential)


@named_by("test_any_other_text_finds_no_caller")
class AnIdIsACredential(PlainCallers):
    async def look(self, credential):
        if credential.isdecimal() and int(credential) in self.users.values():
            return Caller(user_id=int(credential))
        return await super().look(credential)


@named_by("test_many_callers_are_found_at_once")
class WhoeverComesNextIsFoundToo(PlainCallers):
    async def look(self, credential):
        self.credential = credential
        await asyncio.sleep(0)
        return await super().look(self.credential)


@named_by("test_a_change_takes_effect_once_the_user_is_forgotten")
class NobodyIsForgotten(PlainCallers):
    async def forget(self, user_id):
        pass


@named_by("test_a_change_takes_effect_although_callers_are_found_meanwhile")
class WhoWasFoundMeanwhileIsRemembered(PlainCallers):
    def may_remember(self, changes):
        return True


@named_by("test_callers_who_have_not_changed_are_found_as_before")
class ForgettingOneEndsAll(PlainCallers):
    async def forget(self, user_id):
        await super().forget(user_id)
        if user_id not in self.users.values():
            self.users.clear()
            self.remembered.clear()


@named_by("test_a_caller_whose_account_has_not_ended_is_found_again")
class ForgettingEndsAnAccount(PlainCallers):
    async def forget(self, user_id):
        await super().forget(user_id)
        await self.end(user_id)


@named_by("test_forgetting_an_unknown_user_changes_nothing")
class ForgettingNobodyIsAnError(PlainCallers):
    async def forget(self, user_id):
        Caller(user_id=user_id)
        await super().forget(user_id)


def contract_of(broken: type[PlainCallers]) -> type[CallersContract]:
    class Contract(CallersContract):
        @pytest.fixture
        def callers(self) -> Callers:
            return broken()

        @pytest.fixture
        def issue_credential(self, callers: PlainCallers) -> IssueCredential:
            return callers.issue

        @pytest.fixture
        def end_account(self, callers: PlainCallers) -> EndAccount:
            return callers.end

    return Contract


TestPlainCallers = contract_of(PlainCallers)
globals().update({f"Test{name}": contract_of(fault.adapter) for name, fault in FAULTS.items()})
