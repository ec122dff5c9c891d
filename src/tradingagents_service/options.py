"""What a core is composed from, as plain values."""

from dataclasses import dataclass, field
from datetime import timedelta

from tradingagents_adapters.argon2_passwords import MEMORY_KIB_MIN, PARALLELISM_MIN, THREADS, TIME_COST_MIN
from tradingagents_adapters.sql import Database
from tradingagents_adapters.sql.options import DatabaseOptions
from tradingagents_core.use_cases import RefreshOptions


@dataclass(frozen=True, kw_only=True)
class CoreOptions:
    """The options of a core."""

    database: DatabaseOptions | Database | None
    """The database of the stores; None for stores in memory."""
    migrates: bool = False
    """Whether the start migrates the schema of a database that is given by its options."""
    secret_key: str | None = field(default=None, repr=False)
    """The key that signs tokens. Without a key, the core issues and accepts no tokens."""
    algorithm: str = "HS256"
    previous_keys: str = field(default="", repr=False)
    """Keys that only verify tokens, in the form of `read_previous_keys`."""
    token_lifetime: timedelta = timedelta(minutes=30)
    refresh: RefreshOptions = field(default_factory=RefreshOptions)
    registration_enabled: bool = False
    """Whether everybody may create an account."""
    identity_cache_seconds: float = 5
    """How long a process caches an authenticated caller; 0 disables the cache."""
    hash_memory_kib: int = MEMORY_KIB_MIN
    hash_time_cost: int = TIME_COST_MIN
    hash_parallelism: int = PARALLELISM_MIN
    hash_threads: int = THREADS
    """Passwords that are hashed at once."""

    @property
    def kind(self) -> str:
        """The kind of the stores: `sql` or `memory`."""
        return "memory" if self.database is None else "sql"
