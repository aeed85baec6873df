# The commands of this project. `make` alone lists them. Everything is made below this folder: .venv/, node_modules/, var/.

VENV := .venv/bin
SETUP = python="$$(sh .ci/python.sh)" && "$$python" .ci/setup.py

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run cluster test lint format bench docs lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  PYTHON=/path/to/python3.11 chooses the interpreter; ARGS='-k name' goes to pytest."

setup: ## install everything the product needs; seconds when nothing changed
	@$(SETUP)

setup-dev:
	@$(SETUP) --dev --no-assets

run: setup ## start the platform: XMPP, console, archive and web chat in one process
	@exec $(VENV)/python manage.py runnode --with-web

cluster: setup ## start three nodes with a PostgreSQL and a Redis of their own, to try a cluster
	@exec $(VENV)/python .ci/cluster.py

test: ## install what the tests need, then run every test
	@$(SETUP) --dev --test-system
	@exec $(VENV)/python -m pytest -n $${MLINK_TEST_WORKERS:-2} --dist loadfile $(ARGS)

lint: setup-dev ## style, types and the rules on who may import whom
	@code=0; \
	$(VENV)/ruff check . || code=1; \
	$(VENV)/ruff format --check . || code=1; \
	$(VENV)/mypy || code=1; \
	$(VENV)/lint-imports --no-logo || code=1; \
	exit $$code

format: setup-dev ## rewrite the source in the house style
	@$(VENV)/ruff check --fix .
	@$(VENV)/ruff format .

bench: ## measure this server, Prosody and ejabberd with one load generator
	@$(SETUP) --dev
	@$(VENV)/python .ci/packages.py bench
	@exec $(VENV)/python -m tests.bench.compare $(ARGS)

docs: setup ## write docs/xeps.md from the code
	@exec $(VENV)/python manage.py xmppdocs

lock: ## pin the newest versions that requirements*.in and package.json allow
	@sh .ci/lock.sh

clean: ## remove what setup made; the data in var/ stays
	rm -rf .venv node_modules var/assets var/fonts .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
