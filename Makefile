# Python 3.11 or later and nothing else: what is needed goes into an environment of its own at VENV.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# uv is quick; where a machine's pip.conf knows more than uv does (an index, a certificate), pip does it.
install = $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python $(1) || $(PIP) $(1)
# A run, a helper and a test are processes of their own; without bytecode each compiles all that it imports, 3 s for torch.
unexport PYTHONDONTWRITEBYTECODE
export KDLAB_CHROMIUM ?= $(or $(shell which chromium chromium-browser google-chrome 2>/dev/null | head -n 1),/usr/bin/chromium)

# A real server of the Open Inference Protocol for the tests; it wants other versions, so it lives apart.
MLSERVER ?= $(VENV)-mlserver
export KDLAB_MLSERVER ?= $(abspath $(MLSERVER))/bin/mlserver

# Many tests wait for another process: one test process more than there are cores keeps them all at work.
JOBS ?= $(shell expr $$(nproc 2>/dev/null || echo 1) + 1)

# The lowest versions that are named above, which a machine of its own date may have.
LOWEST ?= $(VENV)-lowest

.PHONY: run test browser walk check web catalogue bench gpu soak lowest mlserver clean

run: $(VENV)/.installed  ## Serve the Lab and open it in a browser; ARGS="--port 8600" and the like go to kdlab app.
	$(BIN)/kdlab app $(ARGS)

test: $(VENV)/.installed-dev  ## All tests but those in a browser and the long ones; ARGS="tests/jobs -k kill" go to pytest.
	$(BIN)/python -m pytest -m "not soak and not browser" -n $(JOBS) --dist worksteal -rs $(ARGS)

# On a busy machine a page may redraw under a click, so a failed test gets one more try; the summary names it (R).
browser: $(VENV)/.installed-dev  ## The tests that walk through the pages in a real chromium.
	$(BIN)/python -m pytest -m "browser and not soak" -n auto --dist loadfile --reruns 1 -rsR $(ARGS)

walk: $(VENV)/.installed-dev  ## Use every control of every page once in a chromium, measure boxes, run axe-core; ARGS="--help".
	$(BIN)/python tests/walk/run.py $(ARGS)

check: $(VENV)/.installed-dev  ## Lint, format and types, and those of the pages' scripts where Node.js is.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v npm > /dev/null && $(MAKE) --no-print-directory node_modules/.installed; then \
		$(MAKE) --no-print-directory web; \
	else echo "No Node.js 20 or no npm packages here, so the pages' scripts are not checked."; fi

web: node_modules/.installed  ## Lint, types and unit tests of the pages' scripts; wants Node.js 20.19 or later.
	npm run --silent check

catalogue: $(VENV)/.installed  ## Write kdcore/spec/catalogue.json anew, after a change of what it lists.
	$(BIN)/python -m kdcore.spec.catalogue kdcore/spec/catalogue.json

bench: $(VENV)/.installed-dev  ## Measure speed against plain PyTorch; prints ratios and writes them to a file.
	$(BIN)/python tests/bench/run.py $(ARGS)

# Also without an environment, on a machine that has torch: python tests/gpu/run.py
gpu: $(VENV)/.installed-dev  ## What holds on this machine's GPU, one line a check, within eight minutes; ARGS="--help".
	$(BIN)/python tests/gpu/run.py $(ARGS)

soak: $(VENV)/.installed-dev  ## The long tests: many repetitions.
	$(BIN)/python -m pytest -m soak $(ARGS)

lowest: $(VENV)/.installed  ## A small walk with the lowest versions of requirements.txt on Python 3.12; wants the network.
	$(BIN)/uv venv --quiet --clear --python 3.12 $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --only-binary :all: -r requirements.txt
	$(LOWEST)/bin/python tests/lowest.py

mlserver: $(MLSERVER)/.installed  ## An environment with MLServer, against which `make test` then tests too.

clean:  ## Remove the environments (where they were not moved elsewhere), caches and builds; runs are kept.
	rm -rf .venv .venv-mlserver .venv-lowest node_modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find app kdcore tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "KD Lab needs Python 3.11 or later, but $(PYTHON) is older or absent; name one: make run PYTHON=python3.12"; \
		exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) uv
	$(call install,-e .)
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(call install,-e '.[dev]')
	touch $@

node_modules/.installed: package.json
	npm install --engine-strict --no-save --no-package-lock --no-audit --no-fund --silent
	touch $@

$(MLSERVER)/.installed: $(VENV)/.installed
	$(PYTHON) -m venv $(MLSERVER)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(MLSERVER)/bin/python 'mlserver>=1.7' numpy || \
		$(MLSERVER)/bin/python -m pip --disable-pip-version-check install --quiet 'mlserver>=1.7' numpy
	touch $@
