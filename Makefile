# `make help` lists the commands. Everything runs from .venv, which `scripts/ready` creates and updates.

SHELL := /bin/bash
BIN := .venv/bin
BENCHES := publish fan_out intake idle joining slow_reader engine protocols
export PYTHONDONTWRITEBYTECODE := 1
# Without this, pyright would check the network for a newer version.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help run test check generate bench bench-full faults fuzz docs packages lock clean venv servers nginx promtool peers modules page

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: venv page ## start a hub with its page and a demo plan
	@$(BIN)/python examples/live_page.py

test: venv servers modules page ## run all tests except the long ones
	@npm --prefix frontend test --silent
	@npm --prefix frontend run --silent test:page
	@$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

check: venv modules ## check style, types, import rules and the size of the page
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pyright
	$(BIN)/lint-imports --no-cache
	npm --prefix frontend run --silent check

generate: venv modules ## regenerate schemas, AsyncAPI, OpenAPI, codes and TypeScript types from the code; tests compare them
	@$(BIN)/python -m broadcasters.schemas
	@$(BIN)/python -m hub.wire.schemas
	@$(BIN)/python -m scripts.openapi
	@npm --prefix frontend run --silent generate

bench: venv servers ## run the benchmarks; results are printed and written to bench/results
	@for each in $(BENCHES); do $(BIN)/python -m bench.$$each || exit; done

bench-full: venv servers peers ## run the benchmarks at full length and compare with other servers (15 minutes)
	@for each in $(BENCHES) peers; do $(BIN)/python -m bench.$$each --full || exit; done

faults: venv servers nginx promtool modules page docs ## run the long tests: kills, cuts, starvation, the page on a faulty network
	@$(BIN)/python -m pytest -m "slow or faults"
	@npm --prefix frontend run --silent test:e2e

fuzz: venv ## fuzz the codec and the session for one minute (needs: pip install atheris)
	@$(BIN)/python -m tests.fuzz.fuzz_wire -max_total_time=60

docs: venv ## build the documentation site, which hubs serve at /docs
	@scripts/ready docs
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --quiet --strict

packages: venv modules page docs ## build the wheel, the source distribution and the npm package into dist
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist
	@npm --prefix frontend run --silent build:lib
	@npm pack ./frontend --silent --pack-destination dist

lock: ## regenerate requirements.lock from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --group dev --universal --generate-hashes --no-emit-index-url \
	    --no-header --quiet --output-file requirements.lock
	uv pip compile --group docs --universal --generate-hashes --no-emit-index-url \
	    --no-header --quiet --output-file requirements-docs.lock

clean: ## remove everything that was built or installed here
	rm -rf .venv .venv-docs build dist hub/page/{built,docs} {frontend,bench/peers}/node_modules examples/*/{node_modules,dist} frontend/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -not -path './*/node_modules/*' -prune -exec rm -rf {} +

venv:
	@scripts/ready

servers nginx promtool peers modules page:
	@scripts/ready $@
