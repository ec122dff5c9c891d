"""The outside world behind the ports: stores, tokens, password hashes, settings, and the container that joins them."""
