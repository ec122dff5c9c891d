"""The command `tradingagents`."""
