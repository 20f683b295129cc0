# Needs make and Python 3.11 or newer, nothing else. `make PYTHON=/path/to/python` picks the interpreter.

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
INSTALLED := $(VENV)/.installed

PYTHON ?=
PYTEST_ARGS ?=
FUZZ_COUNT ?= 100000
FUZZ_SEED ?= 0
PIP := -m pip --disable-pip-version-check -q

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test slow docs docs-outputs pictures workflow-tools check static lint format-check types layers bench bench-smoke calibrate fuzz format constraints clean FORCE

help:
	@echo 'make demo         set up and reconstruct the ancestors of the shipped primates into demo/'
	@echo 'make test         set up and run the quick test suite'
	@echo 'make check        ruff, formatting, types, import layers, quick tests'
	@echo 'make slow         the slow tests'
	@echo 'make docs         build the documentation into build/docs/site, strictly'
	@echo 'make workflow-tools install snakemake into $(VENV)-workflow, for the tests of workflow/'
	@echo 'make pictures     draw the pictures of the documentation anew'
	@echo 'make docs-outputs put into the pages what their commands print'
	@echo 'make fuzz         random and broken trees and tables (FUZZ_COUNT=$(FUZZ_COUNT) FUZZ_SEED=$(FUZZ_SEED))'
	@echo 'make calibrate    is the posterior calibrated, under bm, ou, eb, a double well and rates of states? counts and pictures in calibration/'
	@echo 'make bench        the benchmarks; bench-smoke runs them small'
	@echo 'make format       let ruff format and mend the code'
	@echo 'make constraints  remake constraints.txt from the bounds in pyproject.toml'
	@echo 'make clean        remove what make and the tools have made, the environment too'

# Tries each candidate by running it: a name on the PATH may be a stub, too old, or without venv.
define FIND_PYTHON
found=; \
for candidate in $(if $(PYTHON),'$(PYTHON)',$(1)); do \
	if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then found=$$candidate; break; fi; \
done; \
if [ -z "$$found" ]; then \
	echo 'hx needs Python 3.11 or newer with its venv module (on Debian and Ubuntu: the package python3-venv).' >&2; \
	echo 'None of these is one: $(or $(PYTHON),$(1)). Name yours: make PYTHON=/path/to/python' >&2; \
	exit 1; \
fi
endef

# The stamp holds the folder it was made in, because the scripts of an environment name it: in a moved or copied
# checkout the environment is made anew.
MADE_IN := $(shell cat '$(INSTALLED)' 2>/dev/null)
ifneq '$(MADE_IN)' '$(CURDIR)'
$(INSTALLED): FORCE
endif

$(INSTALLED): pyproject.toml constraints.txt
	@if [ -n '$(MADE_IN)' ] && [ '$(MADE_IN)' != '$(CURDIR)' ] || ! '$(PY)' -c 'import pip' >/dev/null 2>&1; then \
		$(call FIND_PYTHON,python3.13 python3.12 python3.11 python3.14 python3 python); \
		echo "Creating $(VENV) with $$found"; \
		"$$found" -m venv --clear '$(VENV)'; \
	fi
	@echo 'Installing hx and its tools into $(VENV) (once; some minutes on a slow line)'
	@'$(PY)' $(PIP) install -c constraints.txt -e '.[dev,mcmc,plot,browser]'
	@'$(PY)' -m compileall -q src
	@printf '%s' '$(CURDIR)' > '$@'

demo: $(INSTALLED)
	@mkdir -p demo
	'$(BIN)/hx' ancestral data/primates.nwk data/primates.csv -o demo/primates
	@ls demo

# Each worker takes a run of neighbouring tests, which share compiled programs and fixtures.
test: $(INSTALLED)
	'$(PY)' -m pytest -m 'not slow' -n auto --dist worksteal $(PYTEST_ARGS)

# As users compile; the quick suite spends less on compiling.
slow: $(INSTALLED)
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 '$(PY)' -m pytest -m slow $(PYTEST_ARGS)

# Of its own, because snakemake and the rest want different versions of the same packages.
workflow-tools: $(VENV)-workflow/.installed

$(VENV)-workflow/.installed: pyproject.toml constraints-workflow.txt $(INSTALLED)
	@'$(PY)' -m venv --clear '$(VENV)-workflow'
	@'$(PY)' -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["workflow"], sep="\n")' \
		| '$(VENV)-workflow/bin/python' $(PIP) install -c constraints-workflow.txt -r /dev/stdin
	@touch '$@'

DOCS_INSTALLED := $(VENV)/.docs-installed

$(DOCS_INSTALLED): $(INSTALLED)
	@'$(PY)' $(PIP) install -c constraints.txt -e '.[docs]'
	@touch '$@'

docs: $(DOCS_INSTALLED)
	@PYTHONPATH=docs '$(PY)' -m hxdocs.site

pictures: $(INSTALLED)
	@PYTHONPATH=docs '$(PY)' -m hxdocs.pictures

docs-outputs: $(INSTALLED)
	@PYTHONPATH=docs '$(PY)' -m hxdocs.console
	@PYTHONPATH=docs '$(PY)' -m hxdocs.notebook

check: static test

static: lint format-check types layers

lint: $(INSTALLED)
	'$(BIN)/ruff' check .

format-check: $(INSTALLED)
	'$(BIN)/ruff' format --check .

types: $(INSTALLED)
	'$(PY)' -m mypy

layers: $(INSTALLED)
	'$(BIN)/lint-imports'

format: $(INSTALLED)
	'$(BIN)/ruff' check --fix .
	'$(BIN)/ruff' format .

# The scripts among benchmarks/*.py are those that run; the others help them.
BENCHMARKS = $$(grep -l '__main__' benchmarks/*.py)

bench: $(INSTALLED)
	@'$(PY)' $(PIP) install --no-deps -r benchmarks/requirements.txt
	@set -e; for script in $(BENCHMARKS); do echo "$$script"; '$(PY)' "$$script"; done

bench-smoke: $(INSTALLED)
	@set -e; for script in $(BENCHMARKS); do echo "$$script --smoke"; '$(PY)' "$$script" --smoke; done

calibrate: $(INSTALLED)
	'$(PY)' -m tests.calibration.calibrate --out calibration
	'$(PY)' -m tests.calibration.calibrate --model ou --simulations 100 --out calibration/ou
	'$(PY)' -m tests.calibration.calibrate --model eb --simulations 100 --out calibration/eb
	'$(PY)' -m tests.calibration.double_well
	'$(PY)' -m tests.calibration.states

fuzz: $(INSTALLED)
	'$(PY)' -m tests.fuzz.fuzz_trees --count $(FUZZ_COUNT) --seed $(FUZZ_SEED)
	'$(PY)' -m tests.fuzz.fuzz_tables --count $(FUZZ_COUNT) --seed $(FUZZ_SEED)

# Made with the oldest Python, whose wheels are the first to disappear. Keeps the comment on top of the file.
# `pip list`, unlike `pip freeze`, never writes an address.
constraints:
	@$(call FIND_PYTHON,python3.11); set -e; \
	fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	"$$found" -m venv "$$fresh/venv"; \
	"$$fresh/venv/bin/python" $(PIP) install -e '.[dev,mcmc,plot,docs,browser]'; \
	sed -n '/^#/p' constraints.txt > "$$fresh/constraints.txt"; \
	"$$fresh/venv/bin/python" -m pip --disable-pip-version-check list --format=freeze \
		--exclude pip --exclude setuptools --exclude hxcli >> "$$fresh/constraints.txt"; \
	cp "$$fresh/constraints.txt" constraints.txt; \
	echo 'Wrote constraints.txt with '"$$("$$found" --version)"

clean:
	rm -rf '$(VENV)' '$(VENV)-workflow' '$(VENV)-3.'* demo calibration build dist .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
