# `make help` lists the targets. Everything is done by the programs in .venv, which `make setup` makes.

PYTHON := .venv/bin/python
PYTEST_ARGS ?=
# Where tests put homes of stacks: in memory where 6 GB of it are free for files, which saves a sixth of the time
SCRATCH := $(shell [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -ge 6000000 ] 2>/dev/null && echo /dev/shm || echo "$${TMPDIR:-/tmp}")
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-access test test-kills test-timing test-corpus verify-outside bench fmt lint types lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: virtual environment, RabbitMQ, PostgreSQL, the compiled part
	@./deploy/bootstrap.sh

demo: setup ## Run the main job on a generated mail archive, or on MAIL=PATH
	@.venv/bin/lethe demo $(if $(MAIL),--mail "$(MAIL)")

demo-access: setup ## Show in short who gets in over HTTPS and who does not
	@.venv/bin/lethe demo-access

# Tests start hundreds of processes, which would each compile all modules again where compiled ones are not kept
test test-kills test-timing test-corpus: export PYTHONDONTWRITEBYTECODE =

test: setup ## Run the tests on a real broker and database (PYTEST_ARGS="-k erase")
	TMPDIR=$(SCRATCH) $(PYTHON) -m pytest -n 3 --no-loadscope-reorder -m "not corpus and not kills and not timing" $(PYTEST_ARGS)

test-kills: setup ## Kill every process in the middle of the work, and at every failpoint (minutes)
	$(PYTHON) -m pytest -m kills $(PYTEST_ARGS)

test-timing: setup ## Compare the times of known and unknown logins, on a machine that does nothing else
	$(PYTHON) -m pytest -m timing $(PYTEST_ARGS)

test-corpus: setup ## Run the tests on real mail: MAIL_CORPUS=FOLDER
	$(PYTHON) -m pytest -m corpus $(PYTEST_ARGS)

verify-outside: setup ## Verify a real log with Go's own libraries (LOG=HOME or EXPORT, KEPT=FILE, PROOFS="FILE …")
	@LOG="$(LOG)" KEPT="$(KEPT)" PROOFS="$(PROOFS)" tests/outside/verify.sh

bench: setup ## Measure speed against peers and print the table
	@$(PYTHON) -m pip install --quiet --require-hashes -r requirements/bench.txt
	$(PYTHON) -m tests.benchmarks

fmt: setup ## Sort the imports and mend what can be mended by a program
	$(PYTHON) -m ruff check --fix .

lint: setup ## Check style and who imports whom
	$(PYTHON) -m ruff check .
	.venv/bin/lint-imports

types: setup ## Check the types
	$(PYTHON) -m mypy

lock: setup ## Lock the versions anew (UPGRADE=--upgrade takes newer ones)
	UPGRADE=$(UPGRADE) ./requirements/lock.sh

clean: ## Stop the stack, destroy it and its keys; remove caches and the virtual environment
	@if [ -x .venv/bin/lethe ] && [ -d "$${LETHE_HOME:-.lethe}" ]; then .venv/bin/lethe reset --yes; fi
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	rm -f audit/_fast_path.c audit/_fast_path*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
