"""The time of this machine."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time now, in UTC, as this machine's clock tells it."""
    return datetime.now(UTC)
