# Every target sets up what it needs: a virtual environment in .venv with pinned packages.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= demo
# Two test processes with one torch thread each: the machine's two cores, without fighting over them.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test check bench ranks docs format clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "globalpool needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(RUN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(VENV)/.bench: $(READY)
	PIP_CONSTRAINT=constraints.txt $(RUN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

demo: $(READY) ## explain real photographs, and train on real digits: under 4 minutes
	$(RUN)/globalpool demo --out $(OUT) --overwrite

test: $(READY) ## run all tests
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(READY) ## format, lint, types, import arrows, generated pages
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/python docs/generate.py --check

bench: $(VENV)/.bench ## speed beside the peers; the tables go to benchmarks/results. QUICK=--quick: under 3 minutes
	$(RUN)/python benchmarks/pooling.py $(QUICK)
	$(RUN)/python benchmarks/evidence_overhead.py
	$(RUN)/python benchmarks/localisation.py

ranks: $(READY) ## train with two processes (torchrun, gloo) here and compare with one
	$(RUN)/python benchmarks/ranks.py

docs: $(READY) ## run the examples and write the generated pages and figures
	$(RUN)/python docs/generate.py

format: $(READY) ## rewrite the code in the standard form
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

clean: ## remove the environment and everything generated
	rm -rf $(VENV) demo explanation build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
