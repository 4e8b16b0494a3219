# make install   create the virtual environment from the lock file
# make demo      prepare a cluster on a local Azure (ARGS=--exit ends by itself)
# make test      run the test suite
# make test-az   run the walkthrough's own commands with the real az
# make test-clients   test third-party clients: skopeo, curl, the Azure SDKs for Python and JavaScript
# make test-postgres  test a Prefect server on PostgreSQL and Redis, both from Debian's packages
# make test-automations   test what `make deploy` creates on a Prefect server, and its automations; PostgreSQL and Redis; three minutes
# make test-interruptions   cancel and kill a run in each of its steps: minutes; figures in artifacts/interruptions
# make test-reruns   test what a retry repeats, in each situation and on another machine: eight minutes
# make test-browser   test Prefect's UI in Debian's Chromium: run, retry, answer, cancel; screenshots in artifacts/browser
# make tools     build the real tools of tests/oracles/tools.txt, each by its exact version, into .tools/; needs Go and cargo
# make test-oracles   compare the project with what others wrote: containerd, the real Trivy and Grype, go-vex, Notary Project, regorus; needs Go and cargo
# make deploy    create work pool, deployments and automations on the server at PREFECT_API_URL (ARGS="--pool-type docker")
# make image     build the images of deployments/Dockerfile (IMAGE_ARGS="--network host")
# make compose-test   test docker-compose.yml on the local Docker engine: the demo, a retry, a killed worker; five minutes
# make docs      generate what the documentation takes from the code: the sandbox's table of supported operations
# make bench     compare ways to prepare a cluster on the same local Azure: ours, az, a bare script, the limit; hours (ARGS="--images 7 --speed 20")
# make plots     draw the plots of docs/performance.md (RESULTS=FILE)
# make bench-sandbox   measure the local Azure (ARGS="--images 1000")
# make bench-gate      measure the gate with a thousand images (ARGS="--interval 5")
# make bench-live      measure a rescan of five thousand images in live/ (ARGS="--images 1000"), half an hour
# make bench-run-page  measure what a run with 300 images costs Prefect's server and the run's page (ARGS="--images 7")
# make bench-start     measure how long a deployed run takes to start (ARGS="--runs 9")
# make faults   run the fault campaign: kills and faults at every request, all of it or what BUDGET=20m allows (ARGS="--part kills")
# make fuzz     run the property tests with new random examples, ROUNDS times (ROUNDS=20), two minutes each
# make mutate   change the code that decides, and count the changes that no test notices (ARGS="--room gate --sample 40")
# make check     check formatting, lint, types and the import contract
PYTHON ?= python3
ROUNDS ?= 1
VENV := .venv
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
READY := $(VENV)/.installed
# az pins hundreds of packages: it gets its own environment.
AZ_VENV := .venv-az
AZ_READY := $(AZ_VENV)/.installed
MUTATION_VENV := .venv-mutation
MUTATION_READY := $(MUTATION_VENV)/.installed
PLOTS_VENV := .venv-plots
PLOTS_READY := $(PLOTS_VENV)/.installed
NODE_CLIENTS := tests/clients/node
NODE_READY := $(NODE_CLIENTS)/node_modules/.installed

.PHONY: install demo deploy test test-az test-clients test-postgres test-automations test-interruptions test-reruns test-browser tools test-oracles image compose-test client-tools server-tools bench plots bench-sandbox bench-gate bench-live bench-run-page bench-start faults fuzz mutate docs check format lock clean

install: $(READY)

demo: $(READY)
	$(VENV)/bin/pratique demo $(ARGS)

test: $(READY)
	$(VENV)/bin/pytest -n 4 --dist worksteal $(ARGS)

test-az: $(READY) $(AZ_READY)
	$(VENV)/bin/pytest tests/az $(ARGS)

test-clients: client-tools $(READY) $(NODE_READY)
	$(VENV)/bin/pytest tests/clients $(ARGS)

test-postgres: server-tools $(READY)
	$(VENV)/bin/pytest tests/postgres $(ARGS)

test-automations: server-tools $(READY)
	$(VENV)/bin/pytest tests/automations $(ARGS)

test-interruptions: $(READY)
	$(VENV)/bin/pytest tests/interruptions -n 3 --dist load --maxschedchunk 1 $(ARGS)

test-reruns: $(READY)
	$(VENV)/bin/pytest tests/reruns $(ARGS)

test-browser: $(READY)
	$(VENV)/bin/pytest tests/browser $(ARGS)

tools:
	tests/oracles/tools.sh

test-oracles: tools $(READY)
	$(VENV)/bin/pytest tests/oracles $(ARGS)

deploy: $(READY)
	$(VENV)/bin/pratique deploy $(ARGS)

image:
	docker build $(IMAGE_ARGS) --target worker --tag pratique:$(VERSION) --file deployments/Dockerfile .
	docker build $(IMAGE_ARGS) --target sandbox --tag pratique-sandbox:$(VERSION) --file deployments/Dockerfile .

compose-test: $(READY) image
	$(VENV)/bin/pytest tests/compose $(ARGS)

client-tools:
	@command -v skopeo >/dev/null || { echo 'skopeo is missing: apt-get install skopeo' >&2; exit 1; }
	@command -v curl >/dev/null || { echo 'curl is missing: apt-get install curl' >&2; exit 1; }
	@command -v npm >/dev/null || { echo 'Node.js 20 or later, with npm, is missing' >&2; exit 1; }

# Debian does not put initdb on the PATH.
server-tools:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { echo 'PostgreSQL is missing: apt-get install postgresql' >&2; exit 1; }
	@command -v redis-server >/dev/null || { echo 'Redis is missing: apt-get install redis-server' >&2; exit 1; }

bench: $(READY) $(AZ_READY)
	$(VENV)/bin/python -m benchmarks.comparison $(ARGS)

plots: $(PLOTS_READY)
	$(PLOTS_VENV)/bin/python benchmarks/comparison/plots.py $(RESULTS)

bench-sandbox: $(READY)
	$(VENV)/bin/python -m benchmarks.sandbox $(ARGS)

bench-gate: $(READY)
	$(VENV)/bin/python -m benchmarks.gate $(ARGS)

bench-live: $(READY)
	$(VENV)/bin/python -m benchmarks.live $(ARGS)

bench-run-page: $(READY)
	$(VENV)/bin/python -m benchmarks.run_page $(ARGS)

bench-start: $(READY)
	$(VENV)/bin/python -m benchmarks.start $(ARGS)

faults: $(READY)
	$(VENV)/bin/python -m benchmarks.faults $(if $(BUDGET),--budget $(BUDGET)) $(ARGS)

fuzz: $(READY)
	for round in $$(seq $(ROUNDS)); do $(VENV)/bin/pytest -n 4 -m hypothesis --hypothesis-profile fuzz $(ARGS) || exit 1; done

mutate: $(READY) $(MUTATION_READY)
	$(VENV)/bin/python -m benchmarks.mutation $(ARGS)

docs: $(READY)
	$(VENV)/bin/python -m sandbox.support docs/sandbox.md

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

$(AZ_READY): tests/az/requirements.lock
	$(PYTHON) -m venv $(AZ_VENV)
	$(AZ_VENV)/bin/pip install --quiet --require-hashes --requirement $<
	touch $@

$(MUTATION_READY): benchmarks/mutation/requirements.lock
	$(PYTHON) -m venv $(MUTATION_VENV)
	$(MUTATION_VENV)/bin/pip install --quiet --require-hashes --requirement $<
	touch $@

$(PLOTS_READY): benchmarks/comparison/requirements.lock
	$(PYTHON) -m venv $(PLOTS_VENV)
	$(PLOTS_VENV)/bin/pip install --quiet --require-hashes --requirement $<
	touch $@

$(NODE_READY): $(NODE_CLIENTS)/package.json $(NODE_CLIENTS)/package-lock.json
	cd $(NODE_CLIENTS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# Resolved for every supported Python at once; needs uv.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --all-extras pyproject.toml --output-file requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --constraint requirements.lock --extra server --extra blob pyproject.toml --output-file deployments/requirements.lock
	echo cosmic-ray==8.7.0 | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header - --output-file benchmarks/mutation/requirements.lock
	echo matplotlib==3.11.2 | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header - --output-file benchmarks/comparison/requirements.lock
	echo azure-cli==2.91.0 | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header - --output-file tests/az/requirements.lock

clean:
	rm -rf $(VENV) $(AZ_VENV) $(MUTATION_VENV) $(PLOTS_VENV) $(NODE_CLIENTS)/node_modules .demo .sandbox .tools
