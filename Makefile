# Every target builds .venv by itself and reuses it while nothing changed.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory --no-builtin-rules

ARGS ?=
EXTRAS ?=
PYTHON ?= $(firstword $(foreach p,python3.13 python3 python,$(if $(shell $(p) -c $(is_313) 2>/dev/null),$(p))))
is_313 := 'import sys; sys.version_info[:2] == (3, 13) and print(1)'
BIN := .venv/bin
PACKAGES := .venv/.packages
VENV := .venv/.installed
MUTANTS_VENV := .venv-mutants
MUTANTS := $(MUTANTS_VENV)/.installed
READY := .local/ready.json
CONFORMANCE := tests/conformance
NODE_MODULES := $(CONFORMANCE)/node_modules/.installed
TOOLS := .venv/tools/.installed

.PHONY: help run send look cli test chaos replay-kills publish-kills runbooks hostile backlog mutants scan bench conformance check lock fmt clean

help: ## Print these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV) ## Start everything on this machine, publish the samples, show each event's way (ARGS="--help")
	@$(BIN)/python -m local --ready-file $(READY) $(ARGS)

send: $(VENV) ## Send one more event to the running stack (EVENT=file.json)
	@$(if $(EVENT),,echo 'say which event: make send EVENT=local/samples/01-new-customer.json' >&2; exit 2;) \
	$(BIN)/python -m local.send --ready-file $(READY) '$(EVENT)' $(ARGS)

look: $(VENV) ## Show what lies in a queue of the running stack, or in the ledger (AT=agreement-rejections, AT=ledger)
	@$(if $(AT),,echo 'say where: make look AT=agreement-rejections' >&2; exit 2;) \
	$(BIN)/python -m local.look --ready-file $(READY) '$(value AT)'

cli: $(VENV) ## Run a command of the product with the running stack's settings (ARGS="--help")
	@$(BIN)/python -m local.within --ready-file $(READY) agreements $(ARGS)

test: $(VENV) ## Format check, lint, imports, types, tests with coverage; under 5 minutes
	@$(BIN)/ruff format --check --quiet . || { echo 'not formatted: run make fmt' >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy
	@$(BIN)/pytest --numprocesses 4 --dist loadscope --cov --cov-report=term-missing $(ARGS)

conformance: $(VENV) $(NODE_MODULES) $(TOOLS) ## Three SDKs and a tool by others against the local Service Bus, the contract in JavaScript (needs Node 20)
	@$(BIN)/pytest --numprocesses 6 --dist loadgroup tests/conformance/promises.py tests/conformance/tools.py \
		tests/conformance/contract.py tests/conformance/subscriber.py $(ARGS)

chaos: $(VENV) ## Thousands of events under faults and kills, and an audit (CHAOS_EVENTS, CHAOS_KILLS, CHAOS_SEED)
	@$(BIN)/pytest --capture=no tests/chaos/chaos.py $(ARGS)

replay-kills: $(VENV) ## A replay killed again and again, and an audit (REPLAY_PARKED, REPLAY_CHOSEN, REPLAY_KILLS)
	@$(BIN)/pytest --capture=no tests/chaos/replay_kills.py $(ARGS)

publish-kills: $(VENV) ## A file published and killed on the way, and an audit (PUBLISH_RECORDS, PUBLISH_BAD, PUBLISH_KILLS)
	@$(BIN)/pytest --capture=no tests/chaos/publish_kills.py $(ARGS)

runbooks: $(VENV) ## Every runbook of docs/operations.md, typed as it stands, against the whole stack
	@$(BIN)/pytest tests/runbooks/runbooks.py $(ARGS)

hostile: $(VENV) ## A million bodies that nobody should send: an event or one of our errors, at once (ARGS="--help")
	@$(BIN)/python -m tests.hostile $(ARGS)

backlog: $(VENV) ## 50,000 events against an API that throttles, in simulated time (ARGS="--help")
	@$(BIN)/python -m tests.chaos.backlog $(ARGS)

mutants: $(MUTANTS) ## Change policy, contract and ids in every small way; a test must notice (ARGS="--help")
	@$(MUTANTS_VENV)/bin/python -m tests.mutants $(ARGS)

bench: $(VENV) ## Figures beside their targets, a line of JSON each (ARGS="cpu growth imports outcomes rate broker memory replays")
	@$(BIN)/python -m tests.benchmarks $(ARGS)

scan: $(VENV) ## Security policies over infra/, by checkov in an environment of its own
	@$(BIN)/pytest tests/infra/scan.py $(ARGS)

check: test conformance scan chaos replay-kills publish-kills runbooks hostile backlog mutants bench ## Every suite there is

fmt: $(VENV) ## Format the code and fix what ruff can fix
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

lock: $(VENV) ## Renew the requirements*.txt from pyproject.toml (ARGS=--upgrade, EXTRAS=telemetry)
	@$(BIN)/uv pip compile $(lock_flags) $(ARGS) pyproject.toml $(EXTRAS:%=--extra %) --output-file requirements.txt
	@$(BIN)/uv pip compile $(lock_flags) $(ARGS) pyproject.toml --extra dev --constraints requirements.txt \
		--output-file requirements-dev.txt
	@$(BIN)/uv pip compile $(lock_flags) $(ARGS) pyproject.toml --extra mutants --constraints requirements-dev.txt \
		--output-file requirements-mutants.txt

lock_flags := --quiet --universal --python-version 3.13 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-package agreements --custom-compile-command 'make lock'

clean: ## Remove what the targets made
	rm -rf .venv $(MUTANTS_VENV) $(CONFORMANCE)/node_modules mutants .local .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info build

$(PACKAGES): requirements-dev.txt
	@$(if $(PYTHON),,echo 'Python 3.13 is missing: install it, or name it: make PYTHON=/path/to/python3.13' >&2; exit 1;) \
	[ "$$("$(PYTHON)" -c $(is_313) 2>&1)" = 1 ] || { echo '$(PYTHON) is not Python 3.13' >&2; exit 1; }
	@echo 'building .venv (once; about half a minute)' >&2
	@"$(PYTHON)" -m venv --clear .venv
	@$(BIN)/python -m pip install $(pip_flags) --require-hashes -r requirements-dev.txt
	@touch $(PACKAGES)

$(VENV): $(PACKAGES) pyproject.toml
	@$(BIN)/python -m pip install $(pip_flags) --no-deps --no-build-isolation --editable .
	@touch $(VENV)

$(MUTANTS): requirements-mutants.txt pyproject.toml | $(VENV)
	@echo 'building $(MUTANTS_VENV) (once; about half a minute)' >&2
	@$(BIN)/python -m venv --clear $(MUTANTS_VENV)
	@$(MUTANTS_VENV)/bin/python -m pip install $(pip_flags) --require-hashes -r requirements-mutants.txt
	@$(MUTANTS_VENV)/bin/python -m pip install $(pip_flags) --no-deps --no-build-isolation --editable .
	@touch $(MUTANTS)

$(NODE_MODULES): $(CONFORMANCE)/package.json $(CONFORMANCE)/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null || \
		{ echo 'make conformance needs Node 20 or later, with npm, on the PATH' >&2; exit 1; }
	@echo 'installing the JavaScript SDK into $(CONFORMANCE)/node_modules (once)' >&2
	@npm ci --prefix $(CONFORMANCE) --loglevel error --no-audit --no-fund --ignore-scripts >&2
	@touch $(NODE_MODULES)

$(TOOLS): tests/conformance/tools.txt $(PACKAGES)
	@$(BIN)/python -m pip install $(pip_flags) --no-deps --require-hashes --upgrade --target $(@D) -r $<
	@touch $(TOOLS)

pip_flags := -qq --disable-pip-version-check
