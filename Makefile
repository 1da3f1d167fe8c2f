# One verb each; `make help` says what they do. Everything runs from .venv, which `scripts/ready` fills and keeps.

SHELL := /bin/bash
BIN := .venv/bin
BENCHES := publish fan_out intake idle joining slow_reader engine
export PYTHONDONTWRITEBYTECODE := 1
# pyright comes with its wheel; without this it would ask the network whether a newer one exists.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help run test check generate bench bench-full faults fuzz packages lock clean venv servers nginx peers modules page

help: ## what can be said here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: venv page ## a hub with its page, and a plan at work on it
	@$(BIN)/python examples/live_page.py

test: venv servers modules page ## every test but the long proofs
	@npm --prefix frontend test --silent
	@npm --prefix frontend run --silent test:page
	@$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

check: venv modules ## style, types, import direction, and the size of what pages load
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pyright
	$(BIN)/lint-imports --no-cache
	npm --prefix frontend run --silent check

generate: venv modules ## schemas, AsyncAPI, OpenAPI, codes and TypeScript types made anew from the code; tests compare them
	@$(BIN)/python -m broadcasters.schemas
	@$(BIN)/python -m hub.wire.schemas
	@$(BIN)/python -m scripts.openapi
	@npm --prefix frontend run --silent generate

bench: venv servers ## how fast it is, in tables; also written to bench/results
	@for each in $(BENCHES); do $(BIN)/python -m bench.$$each || exit; done

bench-full: venv servers peers ## the same at full length and beside its peers, a quarter of an hour
	@for each in $(BENCHES) peers; do $(BIN)/python -m bench.$$each --full || exit; done

faults: venv servers nginx modules page ## the long proofs: kills, cuts, starvation, the page in bad weather
	@$(BIN)/python -m pytest -m "slow or faults"
	@npm --prefix frontend run --silent test:e2e

fuzz: venv ## a minute of random frames at the codec and the session (needs: pip install atheris)
	@$(BIN)/python -m tests.fuzz.fuzz_wire -max_total_time=60

packages: venv modules page ## what is installed elsewhere, in dist: wheel, source distribution, npm package
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist
	@npm --prefix frontend run --silent build:lib
	@npm pack ./frontend --silent --pack-destination dist

lock: ## make requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --group dev --universal --generate-hashes --no-emit-index-url \
	    --no-header --quiet --output-file requirements.lock

clean: ## forget everything that was built or installed here
	rm -rf .venv build dist hub/page/built {frontend,bench/peers}/node_modules frontend/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -not -path './*/node_modules/*' -prune -exec rm -rf {} +

venv:
	@scripts/ready

servers nginx peers modules page:
	@scripts/ready $@
