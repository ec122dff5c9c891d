"""The service, with password threads scheduled by BENCHMARK_POLICY and BENCHMARK_NICENESS."""

import os
import threading

from tradingagents_adapters import argon2_passwords


def _lower_priority() -> None:
    thread = threading.get_native_id()
    policy = {"OTHER": os.SCHED_OTHER, "BATCH": os.SCHED_BATCH}[os.environ["BENCHMARK_POLICY"]]
    os.sched_setscheduler(thread, policy, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, thread, int(os.environ["BENCHMARK_NICENESS"]))


argon2_passwords._lower_priority = _lower_priority  # noqa: SLF001

from tradingagents_service.asgi import app  # noqa: E402

__all__ = ["app"]
