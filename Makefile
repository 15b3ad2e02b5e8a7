# Everything sets itself up: a Python of at least 3.11 and Node.js are all that has to be there.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run password test test-parts test-whole test-cluster test-node test-control-plane test-backends \
	test-backends-here lint bench bench-gateway screenshots messages images clean setup python

BIN := .venv/bin

# Container images often set it. Each process would then compile all that it imports anew: a start takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

# A file's tests share what they started, so they stay together, and what takes longest begins first
# (tests/sharing_out.py). Most wait more than they work, so four run at once. Those that start a whole Slipway, of several
# processes and models, run two at once: a third would make all wait longer.
SIDE_BY_SIDE := --dist loadfile --no-loadscope-reorder
# BUT leaves some of these out.
PARTS = -n 4 $(SIDE_BY_SIDE) -m "not browser and not supervisor and not kubernetes $(BUT)"
WHOLE = -n 2 $(SIDE_BY_SIDE) -m "(browser or supervisor) and not kubernetes $(BUT)"
# One cluster, whose node is this machine, for all that need pods, one after the other; beside them what needs a control
# plane only, which is their run's own. WITHOUT_CLUSTER=yes leaves both out.
NODE := -m "kubernetes and not control_plane"
CONTROL_PLANE := -m "kubernetes and control_plane"
# What another database and another Redis may change, and nothing else.
BACKENDS := --on-backends -m "not kubernetes and not postgresql"

# In CI a test that failed is asked once more, alone, on a Slipway of its own: both answers are in the log. And each run
# says where its time went.
run_tests = @$(BIN)/python -m pytest -o cache_dir=.pytest_cache/$@ $(if $(CI),--durations=15) $(1) $(if $(CI),|| { \
	echo "== what failed is asked once more"; \
	$(BIN)/python -m pytest -o cache_dir=.pytest_cache/$@ --last-failed --last-failed-no-failures none; })

# The first Python that is new enough; PYTHON=/path/to/python chooses another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$name"; break; fi; done)

help:
	@echo "make run       start Slipway here, until Ctrl-C"
	@echo "make password  set a new password for admin"
	@echo "make test      run the tests; ARGS='tests/x.py -k name' chooses"
	@echo "make test-backends  what another database may change, on PostgreSQL and a Redis; EVERYTHING=yes runs all on them"
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

test-cluster:
	@$(MAKE) --no-print-directory -j 2 -O test-node test-control-plane

test-node: setup
	$(call run_tests,$(NODE))

test-control-plane: setup
	$(call run_tests,$(CONTROL_PLANE))

# With EVERYTHING=yes all tests that ask neither a cluster nor a browser, which takes three times as long.
test-backends: setup
ifdef EVERYTHING
	@$(BIN)/python -m tests.shared_backends $(MAKE) --no-print-directory test-parts BUT="and not postgresql"
	@$(BIN)/python -m tests.shared_backends $(MAKE) --no-print-directory test-whole BUT="and not postgresql and not browser"
else
	@$(BIN)/python -m tests.shared_backends $(MAKE) --no-print-directory test-backends-here
endif

test-backends-here: setup
	$(call run_tests,-n 3 $(SIDE_BY_SIDE) $(BACKENDS))

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
