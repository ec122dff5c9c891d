"""The check of a database before the first use, which may migrate an older schema."""

from collections.abc import Awaitable, Callable

from tradingagents_adapters.sql.access import check_access, check_encoding_and_schema, check_no_tables
from tradingagents_adapters.sql.database import Database
from tradingagents_adapters.sql.revision import check_schema, find_revision


class SchemaCheck:
    """Checks that this code may run on the schema. Where `migrate` is given, an older schema is migrated first.

    `remedy` tells a person how to migrate where `migrate` is None.

    Raises:
        ConfigurationError: the schema does not fit this code, or an operator has to change the database or the role.
        StoreUnavailable: the database is unavailable or busy.
    """

    def __init__(
        self, migrate: Callable[[], Awaitable[None]] | None, *, remedy: str = "run `tradingagents migrate`"
    ) -> None:
        self._migrate = migrate
        self._remedy = remedy
        self._has_passed = False

    async def __call__(self, database: Database) -> None:
        await check_encoding_and_schema(database)
        is_empty = await find_revision(database) is None
        if is_empty:
            await check_no_tables(database)
        # An empty file that replaces the database while the service runs must not be migrated.
        may_migrate = not (self._has_passed and is_empty)
        await check_schema(database, self._migrate if may_migrate else None, remedy=self._remedy)
        await check_access(database)
        self._has_passed = True
