"""The core of the TradingAgents API: users, strategies and their rules.

The core needs the standard library only. Storage, tokens, hashing and time come in through `ports`.
"""

__version__ = "1.0.0"
