# `make test` installs what it needs into .venv, never into the system's Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What `make run` records and where; with no CAMERAS it is a simulated street.
#   make run CAMERAS="rtsp://admin:secret@192.168.1.20/1 rtsp://192.168.1.21/main"
DATA ?= ./data
LISTEN ?= 127.0.0.1:8080
export CAMERAS

# Compiled at installation where there is a C compiler (setup.py).
COMPILED := khupho/wire/rtp/packet_loop.py
# Locks hold hashes, and no address.
LOCK := pip-compile --quiet --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --strip-extras

.PHONY: install run test lint torture fuzz bench lock clean

$(VENV)/.installed: requirements/run.lock requirements/build.lock pyproject.toml setup.py $(COMPILED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Khu Phố needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "This Python has no venv; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed requirements/test.lock packaging/debian-test-packages.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.lock
	sh packaging/install-debian-test-packages.sh
	@touch $@

install: $(VENV)/.installed

run: $(VENV)/.installed
	@exec $(BIN)/khupho demo --data "$(DATA)" --listen "$(LISTEN)"

lint: $(VENV)/.tested
	$(BIN)/ruff check khupho tests bench
	$(BIN)/ruff format --check --quiet khupho tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -m "not torture"

# Kills, power cuts, faults of disk, clock and network, foreign cameras for minutes: up to two hours.
torture: $(VENV)/.tested
	$(BIN)/pytest -m torture -s

# Coverage-guided fuzzing of every parser; SECONDS for each.
SECONDS ?= 60
fuzz: $(VENV)/.tested
	$(BIN)/python tests/fuzz/atheris_parsers.py all --seconds $(SECONDS)

# The figures of docs/reference/benchmarks.md: half an hour on a quiet machine.
bench: $(VENV)/.tested
	$(BIN)/python bench/recording.py --cameras 400 --seconds 15
	$(BIN)/python bench/recording.py --cameras 400 --seconds 15 --codec h265
	$(BIN)/python bench/growth.py
	$(BIN)/python bench/city.py --cameras 1000
	$(BIN)/python bench/wire.py
	$(BIN)/python bench/archive_writer.py
	$(BIN)/python bench/keeper.py
	$(BIN)/python bench/proof_log.py

lock: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check pip-tools
	$(BIN)/$(LOCK) --build-deps-for editable --only-build-deps -o requirements/build.lock pyproject.toml
	$(BIN)/$(LOCK) -o requirements/run.lock pyproject.toml
	$(BIN)/$(LOCK) --extra test -o requirements/test.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist *.egg-info $(COMPILED:.py=.*.so) .mypy_cache .ruff_cache .pytest_cache .hypothesis
