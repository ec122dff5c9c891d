"""Adapters for the ports: stores, tokens, password hashes, limits on logins."""
