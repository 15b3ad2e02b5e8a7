# Everything sets itself up: a Python of at least 3.11 and Node.js are all that has to be there.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run password test test-parts test-whole test-cluster lint bench bench-gateway screenshots messages images clean setup python

BIN := .venv/bin

# A file's tests share what they started, so they stay together. Those that start a whole Slipway, of several processes
# and models, run two at once: they wait as much as they work, but a third would make all wait longer.
PARTS := -n 3 --dist loadfile -m "not browser and not supervisor and not kubernetes"
# BUT leaves some of these out.
WHOLE = -n 2 --dist loadfile -m "(browser or supervisor) and not kubernetes $(BUT)"
# One cluster, whose node is this machine, for all of them; WITHOUT_CLUSTER=yes leaves them out.
CLUSTER := -m kubernetes

# In CI a test that failed is asked once more, alone, on a Slipway of its own: both answers are in the log.
run_tests = @$(BIN)/python -m pytest -o cache_dir=.pytest_cache/$@ $(1) $(if $(CI),|| { \
	echo "== what failed is asked once more"; \
	$(BIN)/python -m pytest -o cache_dir=.pytest_cache/$@ --last-failed --last-failed-no-failures none; })

# The first Python that is new enough; PYTHON=/path/to/python chooses another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$name"; break; fi; done)

help:
	@echo "make run       start Slipway here, until Ctrl-C"
	@echo "make password  set a new password for admin"
	@echo "make test      run the tests; ARGS='tests/x.py -k name' chooses"
	@echo "make lint      ruff and mypy"
	@echo "make bench     measure everything; make bench-gateway the gateway only"
	@echo "make screenshots  take the pictures of docs/screenshots anew"
	@echo "make messages  gather new messages into locale/, keeping the translations"
	@echo "make images    build the container images for the test cluster, without Docker (root)"
	@echo "make clean     remove what make has built (not the data)"

python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "slipway: Python 3.11 or later is missing. Install it, or name it with PYTHON=/path/to/python." >&2; exit 1; fi

# exec: signals and the exit code are the supervisor's own.
run: python
	@"$(PYTHON)" bootstrap.py run && exec $(BIN)/python -m console.supervisor

setup: python
	@"$(PYTHON)" bootstrap.py develop

password: python
	@"$(PYTHON)" bootstrap.py run && exec $(BIN)/python manage.py changepassword admin

ifdef ARGS
test: setup
	@exec $(BIN)/python -m pytest $(ARGS)
else
# One after the other, also with -j.
test:
	@$(MAKE) --no-print-directory test-parts
	@$(MAKE) --no-print-directory test-whole
ifndef WITHOUT_CLUSTER
	@$(MAKE) --no-print-directory test-cluster
endif
endif

test-parts: setup
	$(call run_tests,$(PARTS))

test-whole: setup
	$(call run_tests,$(WHOLE))

test-cluster: setup
	$(call run_tests,$(CLUSTER))

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy .

bench: setup
	@set -e; for program in bench/bench_*.py; do $(BIN)/python "$$program" $(ARGS); done

bench-gateway: setup
	@exec $(BIN)/python bench/bench_gateway.py $(ARGS)

screenshots: setup
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

messages: setup
	@$(BIN)/python -m console.catalogs update

images: python
	@exec "$(PYTHON)" -m k8s.images.build $(ARGS)

clean:
	rm -rf .venv .venv-sdks .venv-clients node_modules static/dist static/collected .mypy_cache .ruff_cache .pytest_cache .setup.lock locale/.slipway
	find locale -name '*.mo' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
