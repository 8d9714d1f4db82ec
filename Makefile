# `make` lists what can be done. Everything sets itself up; only Python 3.11 or newer must be there.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ISOLATED := unshare --net --mount --pid --fork --mount-proc

.DEFAULT_GOAL := help
.PHONY: help dev generate bench bench-proxy bench-resumable bench-client bench-verify bench-memory bench-cold e2e load model screenshot smoke test test-all test-rest \
	lint types unit containers format pins clean
# Else every process compiles all that it imports, where the environment says so, as many containers' does.
export PYTHONDONTWRITEBYTECODE :=
# Which tests run (tests/tiers.py), and how many at once: more than there are cores, because many wait.
TIER := first
WORKERS := $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "make %-11s %s\n", $$1, $$2 }'

dev: $(READY) ## run the service with an S3 of its own on PORT (8000), until Ctrl-C; S3=env for the bucket of .env
	@$(BIN)/python test_local.py

smoke: $(READY) ## store pictures in every way in a service of its own, compare the bytes
	@$(BIN)/python test_local.py test

# mypy keeps one core busy from nothing, the tests wait now and then.
test: lint ## lint, types, and every test that needs Python, make and curl alone (4 minutes)
	@$(MAKE) --no-print-directory --jobs=2 types unit

test-all: test ## lint, types, and every test, on every server, in containers and in a browser
	@$(MAKE) --no-print-directory test-rest

# What podman builds and runs waits most of the time, so it goes beside the others.
BESIDE = $(MAKE) --no-print-directory --output-sync=target TIER=rest WORKERS=$(shell expr $(WORKERS) - 1)
test-rest: $(READY) ## what test-all has beyond test
	@echo "the rest of the tests: what goes beside each other says nothing before it ends"
	@if $(ISOLATED) true 2>/dev/null; then $(BESIDE) --jobs=3 e2e containers unit; else \
		$(BESIDE) --jobs=2 containers unit && \
		echo "deploy.sh was NOT tested: that needs root on Linux, and namespaces that this machine does not open"; fi

lint: $(READY) ## style, import rules
	@echo "lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/shellcheck -x -a deploy.sh entrypoint.sh .ci/run
	@$(BIN)/lint-imports --no-logo >$(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }

types: $(READY) ## mypy, strict
	@echo "types"
	@$(BIN)/mypy --no-error-summary

generate: $(READY) ## write what documents, .env.example, compose file and template repeat of the code
	@$(BIN)/python -m generate

screenshot: $(READY) ## take the picture of the upload page that the README shows (needs Chromium, Node)
	@$(BIN)/python -m tests.page.screenshot

bench: $(READY) ## measure minting against its peers, side by side (a quarter of an hour)
	@$(BIN)/python -m bench.mint

bench-proxy: $(READY) ## measure the form proxy against its peers, side by side (4 minutes)
	@$(BIN)/python -m bench.proxy

bench-resumable: $(READY) ## measure appends into Ceph beside tus's own server (4 minutes)
	@$(BIN)/python -m bench.resumable

bench-client: $(READY) ## measure the client for pages in Chromium beside aws s3 cp and Uppy (5 minutes)
	@$(BIN)/python -m bench.client

bench-memory: $(READY) ## measure the memory of many uploads at once through POST /api/v1/s3/upload (2 minutes)
	@$(BIN)/python -m bench.store_memory

bench-verify: $(READY) ## measure the publishing of a picture beside boto3 and Pillow (half a minute)
	@$(BIN)/python -m bench.verify

bench-cold: $(READY) ## measure cold starts against the least and the usual, side by side (half a minute)
	@$(BIN)/python -m bench.cold

load: $(READY) ## keep 200 uploads of 5 MB going for a minute, compare every object
	@LOAD_SECONDS=60 S3_SERVERS=ceph $(BIN)/python -m pytest -q -s tests/faults/test_load.py

model: $(READY) ## drive resumable uploads through 120,000 schedules of their processes (2 minutes)
	@MODEL_SEEDS=10000 $(BIN)/python -m pytest -q --numprocesses=auto tests/resumable/test_model.py

# An engine's storage of its own: it forgets the containers that run beside (tests/image/engine.py).
e2e: export TEST_ENGINE := podman-e2e
e2e: $(READY) ## deploy.sh against an emulated AWS, in namespaces of its own (needs root, podman)
	@$(BIN)/python -m tests.e2e.prepare
	@$(ISOLATED) $(BIN)/python -m pytest -q --numprocesses=2 --dist=loadfile --durations=10 --force-enable-socket tests/e2e

containers: $(READY) ## the tests of the image and of the compose file, in podman
	@$(BIN)/python -m pytest -q --tier=containers --durations=10 tests/compose tests/image

unit: $(READY) ## the tests of `make test` alone
	@echo "tests"
	@$(BIN)/python -m pytest -q --tier=$(TIER) --numprocesses=$(WORKERS) --dist=worksteal --durations=10

format: $(READY) ## rewrite the sources in the project's style
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

pins: $(READY) ## pin the newest versions into requirements.txt and requirements-dev.txt
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --no-config --universal --upgrade --python-version 3.11 --no-header \
		--no-emit-index-url --generate-hashes pyproject.toml --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --no-config --universal --upgrade --python-version 3.11 --no-header \
		--no-emit-index-url pyproject.toml --group dev --constraint requirements.txt \
		--output-file requirements-dev.txt

clean: ## remove the environment, caches, and what make dev keeps in .local
	rm -rf $(VENV) .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.13")'
	@echo "setting up $(VENV), about a minute the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement requirements-dev.txt
	@# pip compiles with one core, and passes over what is no Python too.
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@
