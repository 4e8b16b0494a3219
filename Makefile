# make install   the virtual environment, from the lock
# make demo      the whole preparation on a local Azure (ARGS=--exit ends by itself)
# make test      the test suite
# make check     formatting, lint, types, import contract
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.installed

.PHONY: install demo test check format lock clean

install: $(READY)

demo: $(READY)
	$(VENV)/bin/pratique demo $(ARGS)

test: $(READY)
	$(VENV)/bin/pytest -n 2 $(ARGS)

check: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(READY)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --require-hashes --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Resolved for every supported Python at once; needs uv.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --all-extras pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .demo .sandbox
