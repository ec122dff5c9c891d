"""The outside world behind the ports: stores, tokens, password hashes, limits of logins."""
