# `make` alone lists the targets. PYTHON is the interpreter, VENV the environment's directory, and ARGS is
# passed on: make test ARGS="tests/config -x", make prove ARGS="--only redis --seed 7"

PYTHON ?= python3
VENV ?= .venv
UV_VERSION = 0.13.9
CYCLONEDX_VERSION = 7.5.0

# More than the cores: many tests wait for processes.
PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(3 + (os.cpu_count() or 1))')

# If it were set, each of the hundreds of processes that tests start would compile all of its modules.
unexport PYTHONDONTWRITEBYTECODE

BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
PEERS_INSTALLED = $(VENV)-bench/.installed
RUNTIME_INSTALLED = $(VENV)-runtime/.installed
RUN_INSTALLED = $(VENV)-run/.installed
LOCK = $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url

define check-python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "chat-relay needs Python 3.11 or newer, and $(PYTHON) is not; name one: make PYTHON=python3.13" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
endef

help:
	@echo "make run     run the relay here, with Redis and a stand-in for Channel.io; Ctrl-C stops it;"
	@echo "             ARGS=--fresh starts with empty data"
	@echo "make test    run all tests"
	@echo "make prove   break everything on purpose and print the results; some minutes"
	@echo "make bench   compare the relay with other ways to do the same job; half an hour, on an idle machine"
	@echo "make guards  remove guards of the scripts, one at a time; fail if no test notices; ARGS=--all"
	@echo "make check   check lint, format, types and vocabulary"
	@echo "make format  format the code"
	@echo "make docs    write the documents that are generated from code"
	@echo "make lock    pin the newest versions that requirements*.in allow"
	@echo "make sbom    write sbom.json: what the image is made of, in CycloneDX, from the locks"
	@echo "make clean   remove environments and caches; .data/ and spool/ stay"

# Without exec a signal to make's child would not reach the program.
run: $(RUN_INSTALLED)
	@exec $(VENV)-run/bin/python -m tools.stack $(ARGS)

# Compiled once; otherwise each of the processes that tests start would do it.
test: $(INSTALLED) $(RUNTIME_INSTALLED)
	@$(BIN)/python -m compileall -q app config tests tools
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

prove: $(INSTALLED) $(RUNTIME_INSTALLED)
	@$(BIN)/python -m tools.prove $(ARGS)

guards: $(INSTALLED) $(RUNTIME_INSTALLED)
	@$(BIN)/python -m tools.guards $(ARGS)

bench: $(INSTALLED) $(PEERS_INSTALLED) $(RUNTIME_INSTALLED)
	@$(BIN)/python -m tools.bench $(ARGS)

check: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m tools.style

format: $(INSTALLED)
	@$(BIN)/ruff format .

docs: $(INSTALLED)
	@$(BIN)/python -m tools.documents

lock:
	$(check-python)
	@$(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet uv==$(UV_VERSION)
	@$(LOCK) --upgrade --output-file requirements.txt requirements.in
	@$(LOCK) --upgrade --output-file requirements-tracing.txt requirements-tracing.in
	@$(LOCK) --upgrade --output-file requirements-dev.txt requirements-dev.in
	@$(LOCK) --upgrade --output-file requirements-run.txt requirements-run.in
	@$(LOCK) --upgrade --output-file requirements-bench.txt requirements-bench.in

# Of the run time alone; TRACING=1 adds what the image has with that build argument.
sbom:
	$(check-python)
	@$(PYTHON) -m venv $(VENV)-sbom
	@$(VENV)-sbom/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==$(CYCLONEDX_VERSION)
	@$(VENV)-sbom/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON --output-file sbom.json $(if $(TRACING),requirements-tracing.txt,requirements.txt)
	@echo "sbom.json"

clean:
	@rm -rf .venv .venv-* .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find app config tests tools -name __pycache__ -prune -exec rm -rf {} +

# One environment each; the run time's has the same packages as the image.
$(INSTALLED): requirements-dev.txt
$(PEERS_INSTALLED): requirements-bench.txt
$(RUNTIME_INSTALLED): requirements.txt
$(RUN_INSTALLED): requirements.txt requirements-run.txt
$(INSTALLED) $(PEERS_INSTALLED) $(RUNTIME_INSTALLED) $(RUN_INSTALLED):
	$(check-python)
	@echo "Installing $^ into $(@D), once; this takes up to a minute." >&2
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes $(addprefix -r ,$^)
	@touch $@

.PHONY: help run test prove guards bench check format docs lock sbom clean
