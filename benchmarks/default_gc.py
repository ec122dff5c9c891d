"""The service with Python's default garbage collection."""

import gc

from tradingagents_service import asgi, own_process

gc.freeze = lambda: None
own_process.COLLECT_AFTER = gc.get_threshold()[0]

app = asgi.app
