# make run: set up, then audit the models of the embedded demo. make test: set up, then test.
PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?=
BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed

.PHONY: run test test-slow lint lane-replay lane-controls setup clean

run: setup
	$(BIN)/privaudit run mortality

test: setup
	$(BIN)/pytest

test-slow: setup
	$(BIN)/pytest -m slow --ignore tests/lanes

# Two of the three lanes of docs/ci.md; the third audits real data where they may be read.
lane-replay: setup
	$(BIN)/pytest tests/lanes/test_lane_replay.py

lane-controls: setup
	$(BIN)/pytest -m "slow or not slow" tests/lanes/test_lane_controls.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "privaudit needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": try  make run PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --constraint constraints.txt --editable '.[dev]'
	@touch $(INSTALLED)

clean:
	rm -rf $(VENV) build *.egg-info
