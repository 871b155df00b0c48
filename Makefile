# Targets for people; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The test processes: twice as many as the two cores of the promise, because half of the long tests' time is waiting.
TEST_JOBS ?= 4
PYTEST_ALL = $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadgroup tests/acceptance tests/integration tests/unit
# --no-compile halves the work: Python compiles the few modules that are used when they are first used.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
comma := ,
# What a site may install beside the worker; the other extras are for developers.
EXTRAS_OF_A_SITE = barcodes heic mail ocr oidc otel s3 xlsx
# The stamp of what is installed: $(call installed,test-train) is the worker with the extras test and train.
installed = $(VENV)/.installed-$(1)

# Packages are installed without compiled code. Where nobody may write it, each of a test's hundred processes compiles them anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test test-train lint bench bench-compare bench-station train evaluate train-fields evaluate-fields laboratory chaos programs \
        constraints lock sbom audit docs clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: setup ## Set up, read the shipped samples, and show the numbers (results in var/)
	@$(BIN)/icr demo

setup: $(call installed,worker) programs ## Make the virtual environment with the packages; poppler and Redis, where allowed

# The long tests first, so that both processes end together.
test: programs $(call installed,test) ## Set up and run every test, on a Redis and a PostgreSQL of its own
	$(PYTEST_ALL) $(PYTEST)

test-train: programs $(call installed,test-train) ## Run the tests that need PyTorch, or the sets in ICR_DATA_DIR
	$(PYTEST_ALL) -m "train or data" $(PYTEST)

lint: $(call installed,lint) ## Check the style, the types and which room imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: programs $(call installed,test) ## Measure speed and memory, beside peers where installed (extra peers); the figures go to var/speed.json
	$(BIN)/python -m tests.benchmarks

bench-compare: programs $(call installed,test) ## Measure the ratios anew, and say which are worse by a tenth than those kept
	@mkdir -p var
	$(BIN)/python -m tests.benchmarks.speed.ratios --short --json var/speed.json
	$(BIN)/python -m tests.benchmarks.compare docs/reference/speed.json var/speed.json

bench-station: $(call installed,test) ## Measure the review station in Chromium (docs/reference/performance.md keeps the figures)
	$(BIN)/python -m tests.benchmarks.station $(BENCH)

chaos: programs $(call installed,test) ## Throw faults at a run of 1,000 scans and show that none is lost (long)
	$(BIN)/python -m tests.chaos $(CHAOS)

train: $(call installed,train) ## Train the digit model on the sets in ICR_DATA_DIR
	$(BIN)/icr train

evaluate: $(call installed,train) ## Measure the digit model on the sets in ICR_DATA_DIR
	$(BIN)/icr evaluate

train-fields: $(call installed,train) ## Train the field model and the general reader
	$(BIN)/icr train-fields
	$(BIN)/icr train-general-reader

evaluate-fields: $(call installed,train) ## Measure the field model on the sets in ICR_DATA_DIR
	$(BIN)/icr evaluate-fields

laboratory: $(call installed,train) ## Reproduce published results of classic estimators (docs/explanation/digit-model.md)
	$(BIN)/icr evaluate classics

# The settings page is checked in (a test holds it to the settings); the commands' and schemas' pages are made here.
docs: $(call installed,docs) ## Write the settings page anew, and build the documentation site in site/
	$(BIN)/python -m worker.commands.settings_page > docs/reference/configuration.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean: ## Remove the environment and the caches; the results in var/ stay
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

constraints: $(call installed,test-train-lint-docs) ## Pin what is installed now in constraints.txt, and then with hashes
	@{ head -1 constraints.txt; $(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable \
	  | sed -E 's/\+.*//; / @ /d'; } > constraints.new && mv constraints.new constraints.txt
	@$(MAKE) lock

LOCK = echo setuptools | $(BIN)/uv pip compile --quiet pyproject.toml - --constraint constraints.txt --generate-hashes \
       --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url

lock: $(call installed,supply) ## Write requirements.txt and requirements-all.txt: the pins of constraints.txt with hashes
	@$(LOCK) --output-file requirements.txt
	@$(LOCK) $(foreach extra,$(EXTRAS_OF_A_SITE),--extra $(extra)) --output-file requirements-all.txt

sbom: $(call installed,supply) ## Write build/sbom.json: every package of a worker with all extras, in CycloneDX
	@mkdir -p build
	@$(BIN)/cyclonedx-py requirements requirements-all.txt --pyproject pyproject.toml --output-reproducible \
	  --output-file build/sbom.json

audit: $(call installed,supply) ## Ask which packages have known vulnerabilities, and say plainly what could not be asked
	@$(BIN)/python .ci/audit.py requirements-all.txt

$(BIN)/python:
	@PYTHON=$(PYTHON) .ci/make-venv $(VENV)

$(call installed,worker): $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing the packages (about a minute) ..."
	@$(PIP_INSTALL) -e . && touch $@

$(VENV)/.installed-%: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing the packages for $* ..."
	@$(PIP_INSTALL) -e '.[$(subst -,$(comma),$*)]' && touch $@ $(call installed,worker)

programs:
	@.ci/ensure-programs
