# make run: set up, then audit the models of the embedded demo. make test: set up, then test.
PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?=
BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed

PYTHONS ?= 3.12 3.13

.PHONY: run test coverage test-slow test-network test-pythons lint docs lane-replay lane-controls setup clean

run: setup
	$(BIN)/privaudit run mortality

# One process a core; the tests of a file stay together.
test: setup
	$(BIN)/pytest -n auto --dist loadfile

# The same tests, measured; the cheap tracer of Python 3.12 where there is one. Fails under the level
# in setup.cfg.
coverage: setup
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
		$(BIN)/pytest --cov --cov-report=
	@echo "coverage, the least covered files first:"
	@$(BIN)/coverage report --fail-under 0 --sort=cover --skip-covered | sed -n '1,12p'
	@echo "coverage in all: $$($(BIN)/coverage report --fail-under 0 --format=total) %"

# The longest files first, as tests/conftest.py sorts them, so that no process waits for the last.
test-slow: setup
	$(BIN)/pytest -m slow --ignore tests/lanes -n auto --dist loadfile --no-loadscope-reorder

# Faults of a federation, each in a network of its own: as root on Linux, some 15 minutes, one after
# another. The others of tests/deploy/net are among the slow tests.
test-network: setup
	$(BIN)/pytest -m network tests/deploy/net

# Two of the three lanes of docs/ci.md; the third audits real data where they may be read.
lane-replay: setup
	$(BIN)/pytest tests/lanes/test_lane_replay.py

lane-controls: setup
	$(BIN)/pytest -m "slow or not slow" -n auto tests/lanes/test_lane_controls.py

# The default tests on other Pythons, each in an environment of its own, where an interpreter is found.
test-pythons:
	@for version in $(PYTHONS); do \
		found=; \
		for python in python$$version $$HOME/.pyenv/versions/$$version.*/bin/python; do \
			if $$python -c '' 2>/dev/null; then found=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then echo "Python $$version: not found"; continue; fi; \
		echo "Python $$version: $$found"; \
		$(MAKE) test PYTHON="$$found" VENV=.venv-$$version || exit 1; \
	done

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html"

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
	rm -rf $(VENV) $(VENV)-* build site *.egg-info
