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

# The browser app is built into the package; whoever installs the package needs no Node.
WEB := khupho/recorder/http/web
WEB_SOURCES := $(shell find web/src web/public web/index.html web/package-lock.json web/*.ts -type f 2>/dev/null)
# Node brings certificates of its own; the machine's count too.
CA_FILE := $(wildcard /etc/ssl/certs/ca-certificates.crt)
WITH_NODE := PATH="$(CURDIR)/$(BIN):$$PATH" NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-$(CA_FILE)}"

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

# Node 20 or newer of the machine, or of a package into .venv.
$(WEB)/index.html: $(VENV)/.installed $(WEB_SOURCES)
	@$(WITH_NODE) node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null \
		|| $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/node.lock
	@cd web && $(WITH_NODE) npm ci --no-audit --no-fund --loglevel=error --silent
	@cd web && $(WITH_NODE) npm run --silent build -- --base /app/ --outDir ../$(WEB) --emptyOutDir --logLevel error
	@touch $@

install: $(VENV)/.installed $(WEB)/index.html

run: install
	@exec $(BIN)/khupho demo --data "$(DATA)" --listen "$(LISTEN)"

lint: $(VENV)/.tested
	$(BIN)/ruff check khupho tests bench
	$(BIN)/ruff format --check --quiet khupho tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint $(WEB)/index.html
	cd web && $(WITH_NODE) npm run --silent check && $(WITH_NODE) npm run --silent test
	$(BIN)/pytest -m "not torture"

# Kills, power cuts, faults of disk, clock and network, foreign cameras for minutes: up to two hours.
torture: $(VENV)/.tested $(WEB)/index.html
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
	$(BIN)/$(LOCK) -o requirements/node.lock requirements/node.in

clean:
	rm -rf $(VENV) $(WEB) web/node_modules build dist *.egg-info $(COMPILED:.py=.*.so) .mypy_cache .ruff_cache .pytest_cache .hypothesis
