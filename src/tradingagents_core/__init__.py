"""The rules of the TradingAgents API: users, strategies, and what may be done with them.

Needs the standard library only. Everything outside (storage, tokens, hashing, time) comes in through `ports`.
"""

__version__ = "1.0.0"
