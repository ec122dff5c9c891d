"""The service with a garbage collector that goes through everything, as Python has it by default."""

import gc

from tradingagents_http import main

gc.freeze = lambda: None
main.COLLECT_AFTER = gc.get_threshold()[0]

app = main.app
