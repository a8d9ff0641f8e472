# Two commands for everybody: `make demo` and `make test`. Each sets up its own environment first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
WORKERS ?= auto
SECONDS ?= 60

.PHONY: help demo test fast campaign bench lint types contracts unit docs-examples fuzz schemas reference pictures docs judges lock format clean

help:
	@echo "make demo     the whole story on simulated servers, under a minute"
	@echo "make test     lint, types, import contracts, tests with coverage floors, docs examples"
	@echo "make fast     what a change needs every few minutes (under 20 s)"
	@echo "make fuzz     fuzz every reader of foreign bytes for a minute each (SECONDS=60)"
	@echo "make campaign 20,000 cases of things that break; writes docs/explanation/fault-campaign.md"
	@echo "make bench    measure against references in the same run (BENCHES='plan-*'); writes docs/explanation/speed.md"
	@echo "make schemas  rewrite schemas/ from the code"
	@echo "make reference rewrite the pages of docs/reference that come from the code"
	@echo "make pictures rewrite the pictures in docs/ from real output"
	@echo "make docs     build the documentation as a site into site/, warnings as errors"
	@echo "make format   let ruff put the code in order"
	@echo "make lock     resolve requirements.lock anew"

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cmscert needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)
	@$(BIN)/cmscert demo

test: lint types contracts unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests/bench

contracts: $(STAMP)
	$(BIN)/lint-imports

# Judges that only npm has; without npm their tests are skipped loudly.
JUDGES := tests/npm/node_modules/.package-lock.json
$(JUDGES): tests/npm/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix tests/npm --ignore-scripts --no-audit --no-fund --silent && touch $@; fi

judges: $(JUDGES)

# Tests start the program some hundred times: its bytecode is written once, whatever the environment says.
unit: export PYTHONDONTWRITEBYTECODE :=
unit: $(STAMP) $(JUDGES)
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95 | tail -n 40
	$(BIN)/coverage report --fail-under=100 --include='cmscert/model/*,cmscert/pki/*,cmscert/mmp/*,cmscert/planning/*'

fast: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/pytest -q -n $(WORKERS) -m "not slow and not judge"

fuzz: $(STAMP)
	CMSCERT_FUZZ_FOUND=tests/hostile/corpus $(BIN)/python tests/hostile/fuzz.py -seconds=$(SECONDS)

campaign: $(STAMP)
	$(BIN)/python -m cmscert.testing.service_campaign --cases 20000 --write docs/explanation/fault-campaign.md

bench: $(STAMP)
	$(BIN)/python -m tests.bench --write docs/explanation/speed.md $(BENCHES)

schemas: $(STAMP)
	$(BIN)/cmscert schema --write schemas

reference: $(STAMP)
	$(BIN)/python tests/docs/generate.py

pictures: $(STAMP)
	$(BIN)/python tests/pictures.py

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file docs/mkdocs/mkdocs.yml
	@echo "site/index.html"

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --group dev \
	  --no-annotate --no-header --output-file requirements.lock pyproject.toml
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
