# What people type here. Each target makes the environment that it needs; `make help` lists them.
#
#   TORCH=1        with PyTorch: training, export, and the tests of both (gigabytes on x86-64)
#   SECONDS=n      make demo ends by itself after n seconds
#   SPEED=x        make demo publishes x times as fast as the data was taken (1200)
#   WORKERS=n      make test runs n tests side by side (4): most of them wait, so more than there are cores
#   ARGS="..."     goes to the program behind test, demo, train, soak, and every show and bench
#   PYTHON=...     the interpreter to make .venv from; 3.11 or newer is looked for unless it is named

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	command -v $$p >/dev/null && $$p -c '$(SUITABLE)' 2>/dev/null && command -v $$p && break; done)

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --python $(BIN)/python --quiet
LOCKS := requirements/build.txt requirements/lock.txt
STAMP := $(VENV)/.installed$(if $(TORCH),-torch)
UNMARKED := $(if $(TORCH),,not torch)
IS_ROOT := $(filter 0,$(shell id -u))
WORKERS ?= 4
# The tests of one file stay together and in order: they share brokers and machines that take long to start. Files go
# in the order of their names, which begins with the long ones (contract, daemon) and ends with the short ones (unit).
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Command, and the Debian package that brings it. What .ci/run installs is this list: `make -s packages`.
NEEDED := mosquitto:mosquitto mosquitto_pub:mosquitto-clients kcat:kafkacat promtool:prometheus \
	java:default-jre-headless mvn:maven systemd-analyze:systemd faketime:faketime
NEEDED_BY_ROOT := debootstrap:debootstrap systemd-nspawn:systemd-container fusermount3:fuse3
TOOLS := $(NEEDED) $(if $(IS_ROOT),$(NEEDED_BY_ROOT))

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf '  make %-17s %s\n' "$$target" "$$text"; done
	@echo
	@sed -nE 's/^#   (.*)/  \1/p' $(MAKEFILE_LIST)

# ---- environments

$(BIN)/uv: requirements/build.txt
	@test -n "$(PYTHON)" || { echo "Tidegate needs Python 3.11 or newer: install it, or name it with PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@# Debian splits ensurepip off; the pip outside serves as well.
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@if test -x $(BIN)/pip; then $(BIN)/python -m pip install --quiet --require-hashes -r $<; \
		else $(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes -r $<; fi
	@touch $@

$(VENV)/.installed: $(LOCKS) pyproject.toml $(BIN)/uv
	@$(INSTALL) --require-hashes -r requirements/lock.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-torch: requirements/lock-torch.txt $(VENV)/.installed
	@echo "Installing PyTorch; on x86-64 that is gigabytes"
	@$(INSTALL) --require-hashes -r requirements/lock-torch.txt
	@touch $@

.PHONY: install
install: $(STAMP) ## make .venv from the locks (TORCH=1: with PyTorch)

.PHONY: tools
tools:
	@missing=(); for tool in $(TOOLS); do \
		command -v "$${tool%%:*}" >/dev/null || test -x "/usr/sbin/$${tool%%:*}" || missing+=("$${tool##*:}"); done; \
	if test $${#missing[@]} -gt 0; then \
		echo "The tests need $${#missing[@]} more from the system: apt-get install --no-install-recommends $${missing[*]}" >&2; \
		exit 1; fi
	@java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' || { \
		echo "Apache Kafka needs Java 17 or newer: apt-get install openjdk-17-jre-headless" >&2; exit 1; }

.PHONY: packages
packages:
	@for tool in $(NEEDED) $(NEEDED_BY_ROOT); do echo "$${tool##*:}"; done

# ---- for users

.PHONY: demo
demo: $(VENV)/.installed ## watch a fish farm's gateway work, with brokers, data and a camera of its own
	@$(BIN)/python -m tests.demo $(if $(filter command line environment,$(origin SECONDS)),--seconds $(SECONDS)) \
		$(if $(SPEED),--speed $(SPEED)) $(ARGS)

# ---- for those who build

.PHONY: test
test: $(STAMP) tools ## run the tests (TORCH=1 leaves none out)
	@marks="$(UNMARKED)"; left="$(if $(TORCH),,torch (make test TORCH=1 runs them))"; \
	if test -z "$(IS_ROOT)"; then marks="$${marks:+$$marks and }not systemd"; left="$${left:+$$left, }systemd (need root)"; fi; \
	status=0; $(BIN)/python -m pytest $(SIDE_BY_SIDE) $${marks:+-m "$$marks"} $(ARGS) || status=$$?; \
	echo "Left out by mark: $${left:-nothing}"; exit $$status

.PHONY: test-fast
test-fast: $(STAMP) ## run the tests that need no broker, daemon or container: units, documents, architecture
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not torch" tests/unit $(wildcard tests/test_*.py) $(ARGS)

.PHONY: check
check: $(STAMP) ## format, lint, types, Dockerfile, alert rules, unit file, locks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile.arm64
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_packaging.py tests/unit/test_unit_file.py
	@if command -v promtool >/dev/null; then (set -x; promtool check rules deploy/prometheus/*.rules.yml; \
		promtool test rules deploy/prometheus/tests/*.yml); \
		else echo "promtool is not here (apt-get install prometheus): alert rules were not checked" >&2; fi
	@if command -v shellcheck >/dev/null; then (set -x; shellcheck .ci/run deploy/arm64/build-and-start systemd/install.sh); \
		else echo "shellcheck is not here (apt-get install shellcheck): scripts were not checked" >&2; fi

.PHONY: dist
dist: $(VENV)/.installed ## make dist/tidegate-VERSION.tar.gz, which systemd/install.sh installs on a gateway
	@$(BIN)/python -m build --sdist --no-isolation

.PHONY: bench
bench: $(VENV)/.installed tools ## measure, and write docs/BENCHMARKS.md
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: bench-backlog
bench-backlog: $(VENV)/.installed ## ten million records pending beside a thousand: what commits cost (ARGS=blocks)
	@$(BIN)/python -m tests.bench.bench_backlog $(ARGS)

.PHONY: bench-versions
bench-versions: $(VENV)/.installed tools ## this tree beside another in interleaved rounds: ARGS="--other TREE"
	@$(BIN)/python -m tests.bench.bench_versions $(ARGS)

.PHONY: bench-compression
bench-compression: $(VENV)/.installed ## zstd levels against CPU and bytes, on real readings
	@$(BIN)/python -m tests.bench.bench_compression $(ARGS)

.PHONY: bench-packs
bench-packs: $(VENV)/.installed ## an outage as blocks and packed (ARGS="--readings 10000000 --noise 1")
	@$(BIN)/python -m tests.bench.bench_packs $(ARGS)

.PHONY: bench-month
bench-month: $(VENV)/.installed ## thirty days at 200/s by the packer alone; goes on where it ended (ARGS="--seconds 600")
	@$(BIN)/python -m tests.bench.month month.sqlite $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.installed ## a million mutated messages for each payload codec: ARGS="senml --inputs 20000"
	@$(BIN)/python -m tests.fuzz $(ARGS)
.PHONY: bench-judging
bench-judging: $(VENV)/.installed ## what judging its quality costs a reading, beside the same build without
	@$(BIN)/python -m tests.bench.bench_judging $(ARGS)

.PHONY: bench-quality
bench-quality: $(VENV)/.installed ## how well quality is judged, on labelled water data (ARGS="--data FOLDER")
	@$(BIN)/python -m tests.bench.bench_quality $(ARGS)

.PHONY: train
train: $(VENV)/.installed-torch ## train and export the fish detector: ARGS="--frames FOLDER"
	@$(BIN)/python -m models.training $(ARGS)

.PHONY: soak
soak: $(VENV)/.installed ## ten minutes with no broker, no link and no camera
	@$(BIN)/python -m tests.shows.soak $(ARGS)

SHOWS := kill outage restart disk stall powercut slow-link fleet days
.PHONY: shows $(SHOWS:%=show-%)
shows: $(SHOWS:%=show-%) ## kills, outages, bad disks, power cuts, bad lines, fleets, days; one alone: make show-kill

$(SHOWS:%=show-%): show-%: $(VENV)/.installed tools
	@$(BIN)/python -m tests.shows.$(subst -,_,$*) $(ARGS)

.PHONY: show-brokers
show-brokers: $(VENV)/.installed tools ## other brokers, killed, stopped and cut off: writes docs/BROKERS.md (ARGS=artemis)
	@$(BIN)/python -m tests.shows.brokers $(ARGS)

.PHONY: crash
crash: $(VENV)/.installed tools ## kill gateways hundreds of times, with a cluster under chaos, and audit what arrived
	@$(BIN)/python -m tests.shows.crash $(ARGS)

.PHONY: explore
explore: $(VENV)/.installed ## the shipper's decisions through every order of events, millions of states
	@$(BIN)/python -m tests.shows.explore $(ARGS)

.PHONY: systemd-test
systemd-test: $(VENV)/.installed ## boot a real systemd and put the unit through its paces (root)
	@test -n "$(IS_ROOT)" || { echo "Booting a container needs root" >&2; exit 1; }
	@$(BIN)/python -m pytest -m systemd tests/systemd $(ARGS)

.PHONY: arm64
arm64: ## build Dockerfile.arm64 and start it once under emulation (root, about ten minutes)
	@deploy/arm64/build-and-start

.PHONY: lock
lock: $(BIN)/uv ## compile the locks from pyproject.toml (UPGRADE=1: newest versions)
	@compile() { $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --quiet $(if $(UPGRADE),--upgrade) "$$@"; }; \
	compile pyproject.toml --extra demo --extra test -o requirements/lock.txt; \
	compile pyproject.toml -c requirements/lock.txt --no-annotate -o requirements/runtime.txt; \
	compile pyproject.toml --extra demo --extra test --extra torch -c requirements/lock.txt -o requirements/lock-torch.txt; \
	printf 'uv\nhatchling\neditables\n' | compile - -c requirements/lock.txt --no-annotate -o requirements/build.txt

.PHONY: clean
clean: ## remove environments, caches and what was built
	rm -rf .venv .venv-* .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
