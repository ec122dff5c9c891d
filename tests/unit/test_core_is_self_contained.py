import subprocess
import sys
from pathlib import Path

import tradingagents_core

SOURCE = Path(tradingagents_core.__file__).parents[1]

IMPORT_THE_CORE = """
import importlib, pkgutil, sys

sys.path.insert(0, sys.argv[1])
import tradingagents_core

for module in pkgutil.walk_packages(tradingagents_core.__path__, "tradingagents_core."):
    importlib.import_module(module.name)
print(*sys.modules, sep="\\n")
"""


def modules_after_importing_the_core() -> set[str]:
    # -I and -S: neither the environment, nor the directory of the caller, nor installed packages are looked at.
    python = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", IMPORT_THE_CORE, str(SOURCE)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert python.returncode == 0, python.stderr
    return set(python.stdout.split())


def test_every_module_of_the_core_needs_the_standard_library_only():
    loaded = modules_after_importing_the_core()
    files = {path.relative_to(SOURCE).with_suffix("") for path in (SOURCE / "tradingagents_core").rglob("*.py")}
    written = {".".join(file.parts).removesuffix(".__init__") for file in files}
    roots = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert {name for name in loaded if name.startswith("tradingagents_core")} == written
    assert roots == {"__main__", "tradingagents_core"}
