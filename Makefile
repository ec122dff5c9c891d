# The commands of this project; `make` alone lists them. They need Python 3.11 or later and make, nothing else.
# PYTHON names the Python for a new .venv. To use another Python, remove .venv first.

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
READY := .venv/ready
SECONDS ?= 600
BENCHMARKS := PYTHONPATH=tests/integration $(BIN)/python -m benchmarks

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## Install the locked dependencies into .venv

.PHONY: run
run: $(READY) .env ## Serve on 127.0.0.1:8000 (PORT=...); creates the account of the README if there is none
	@echo SecurePassword123 | $(BIN)/tradingagents users create user@example.com --password-stdin --if-none
	$(BIN)/tradingagents serve --host 127.0.0.1 --port $(PORT)

.PHONY: test
test: $(READY) ## Run every test
	$(BIN)/pytest --numprocesses 2 --dist loadfile

.PHONY: check
check: $(READY) format-check lint types boundaries test ## Check format, lint, types, boundaries and tests, as CI does

.PHONY: format
format: $(READY) ## Format the code
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: format-check
format-check: $(READY)
	$(BIN)/ruff format --check

.PHONY: lint
lint: $(READY) ## Check the code with ruff
	$(BIN)/ruff check

.PHONY: types
types: $(READY) ## Check the types of src with mypy
	$(BIN)/mypy

.PHONY: boundaries
boundaries: $(READY) ## Check the imports between packages
	$(BIN)/lint-imports

.PHONY: bench
bench: $(READY) ## Measure how fast the service is, for docs/performance.md (needs wrk; takes about twelve minutes)
	$(BENCHMARKS) all

.PHONY: bench-quick
bench-quick: $(READY) ## Measure requests per second in under a minute (needs wrk)
	$(BENCHMARKS) quick

.PHONY: soak
soak: $(READY) ## Watch memory, connections and latencies under load for ten minutes, or SECONDS=... (needs wrk)
	$(BENCHMARKS) soak --seconds $(SECONDS)

.PHONY: audit
audit: $(READY) ## Check the locked dependencies for known vulnerabilities
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --require-hashes --requirement requirements/runtime.txt

.PHONY: wheel
wheel: $(READY) ## Build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

.PHONY: lock
lock: $(READY) ## Lock the newest versions of all dependencies, with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --output-file requirements/runtime.txt pyproject.toml
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --output-file requirements/dev.txt --group dev pyproject.toml
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --output-file requirements/client-generator.txt --group client-generator

LOCK_OPTIONS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

$(READY): requirements/dev.txt pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.env: | $(READY)
	@umask 077 && echo "JWT_SECRET_KEY=$$($(BIN)/tradingagents secret)" > $@
	@echo "Wrote .env with a random JWT_SECRET_KEY."
