# `make help` lists the commands. Everything runs from .venv, which `scripts/ready` creates and updates.

SHELL := /bin/bash
BIN := .venv/bin
BENCHES := publish fan_out intake idle joining slow_reader engine protocols
# The tests start hundreds of Python processes; without this, each may have to compile the code again.
unexport PYTHONDONTWRITEBYTECODE
# Without this, pyright would check the network for a newer version.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help run test check generate bench bench-full faults fuzz docs packages release-check lock clean venv mypy pyright page-check

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: ## start a hub with its page and two plans (`plancast demo`)
	@scripts/ready running page
	@$(BIN)/plancast demo; code=$$?; [ $$code -le 128 ] || echo "plancast: the hub was killed; its plans go on: make run" >&2; exit $$code

test: ## run all tests except the long ones
	@scripts/ready venv,servers modules,page
	@npm --prefix frontend test --silent
	@npm --prefix frontend run --silent test:page
	@$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

check: ## check style, types, import rules and the size of the page
	@scripts/ready venv modules
	@$(MAKE) --no-print-directory --jobs=2 --output-sync mypy page-check pyright

mypy:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

pyright:
	$(BIN)/python -m pyright

page-check:
	npm --prefix frontend run --silent check

generate: ## regenerate schemas, AsyncAPI, OpenAPI, codes and TypeScript types from the code; tests compare them
	@scripts/ready venv modules
	@$(BIN)/python -m broadcasters.schemas
	@$(BIN)/python -m hub.wire.schemas
	@$(BIN)/python -m scripts.openapi
	@npm --prefix frontend run --silent generate

bench: ## run the benchmarks; results are printed and written to bench/results
	@scripts/ready venv,servers
	@for each in $(BENCHES); do $(BIN)/python -m bench.$$each || exit; done

bench-full: ## run the benchmarks at full length and compare with other servers (15 minutes)
	@scripts/ready venv,servers,peers
	@for each in $(BENCHES) peers; do $(BIN)/python -m bench.$$each --full || exit; done

faults: docs ## run the long tests: kills, cuts, starvation, the page on a faulty network
	@scripts/ready servers,nginx,promtool modules,page
	@$(BIN)/python -m pytest --hypothesis-profile full -m "slow or faults or hypothesis"
	@npm --prefix frontend run --silent test:e2e

fuzz: venv ## fuzz the codec and the session for one minute (needs: pip install atheris)
	@$(BIN)/python -m tests.fuzz.fuzz_wire -max_total_time=60

docs: ## build the documentation site, which hubs serve at /docs
	@scripts/ready venv,docs
	@NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/.venv-docs/bin:$$PATH" .venv-docs/bin/python -m mkdocs build --quiet --strict

packages: docs ## build the wheel, the source distribution and the npm package into dist
	@scripts/ready modules,page
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist
	@npm --prefix frontend run --silent build:lib
	@npm pack ./frontend --silent --pack-destination dist

release-check: docs ## build all packages, install them into empty environments, and use them there (needs a package index)
	@scripts/ready modules,page
	@$(BIN)/python -m pytest tests/release
	@npm --prefix frontend run --silent test:package

lock: COMPILE := uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet
lock: ## regenerate requirements.lock and its part for `make run` from pyproject.toml, requirements-docs.lock and those of the image (needs uv)
	$(COMPILE) pyproject.toml --all-extras --group dev --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra all --group install --constraint requirements.lock --output-file requirements-run.lock
	$(COMPILE) --group docs --output-file requirements-docs.lock
	$(COMPILE) pyproject.toml --extra all --extra mcp --constraint requirements.lock --output-file deploy/requirements.txt
	echo hatchling | $(COMPILE) - --constraint requirements.lock --output-file deploy/requirements-build.txt

clean: ## remove everything that was built or installed here
	rm -rf .venv .venv-docs build dist hub/page/{built,docs} {frontend,bench/peers}/node_modules examples/*/{node_modules,dist} frontend/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -not -path './*/node_modules/*' -prune -exec rm -rf {} +

venv:
	@scripts/ready
