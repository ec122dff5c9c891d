"""The service with Python's default garbage collection."""

import gc

from tradingagents_service import asgi

gc.freeze = lambda: None
asgi.COLLECT_AFTER = gc.get_threshold()[0]

app = asgi.app
