# `make test` installs what it needs into .venv, never into the system's Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What `make run` records and where; with no CAMERAS it is a simulated street.
#   make run CAMERAS="rtsp://admin:secret@192.168.1.20/1 rtsp://192.168.1.21/main"
DATA ?= ./data
LISTEN ?= 127.0.0.1:8080
export CAMERAS

.PHONY: install run test lint lock clean

$(VENV)/.installed: requirements/run.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Khu Phố needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "This Python has no venv; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed requirements/test.lock packaging/debian-test-packages.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.lock
	sh packaging/install-debian-test-packages.sh
	@touch $@

install: $(VENV)/.installed

run: $(VENV)/.installed
	@exec $(BIN)/khupho demo --data "$(DATA)" --listen "$(LISTEN)"

lint: $(VENV)/.tested
	$(BIN)/ruff check khupho tests
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest

lock:
	$(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-trusted-host --strip-extras -o requirements/run.lock pyproject.toml
	$(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-trusted-host --strip-extras --extra test -o requirements/test.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
