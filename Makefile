# Each target installs what it needs first; `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first interpreter that the dependencies support; `make PYTHON=/path/to/python3.12 ...` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)

# Commands of stages begin with `python`: that of .venv, as after `. .venv/bin/activate`.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Let Python cache compiled modules: otherwise each process compiles this project's modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup setup-cluster repro example ui serve demo figures tour evidence tuned bench bench-pipeline bench-quick browser clock cluster-programs test test-all test-cluster faults wheels lint types licences lock
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## create .venv from requirements.lock (every other target does this when needed)
	@$(call install,.venv,requirements.lock)

setup-cluster: ## create .venv-cluster, which adds the packages for Ray, Slurm, PostgreSQL, SSH and S3
	@$(call install,.venv-cluster,requirements-cluster.lock)

# $(call install,ENVIRONMENT,LOCK) does nothing if the environment is complete. With PYTHON given on the command line, an
# environment of another Python version is refused.
install = test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found; install one or run make PYTHON=/path/to/python" >&2; exit 1; }; \
	$(PYTHON) tools/install.py $(if $(filter command,$(origin PYTHON)),--same-python )$(1) $(2)

repro: setup ## run the whole pipeline: data, both cells, figures (unchanged stages are skipped)
	@PYTHONPATH=src python -m seqmnist check --quick --repair && python -m dvc repro && PYTHONPATH=src python -m seqmnist sync

example: setup ## run the pipeline of examples/digits: two models in half a minute, without TensorFlow
	@cd examples/digits && dvc repro && digits sync

ui: setup ## start MLflow's page on this machine; prints links to the runs and to a comparison of the cells
	@PYTHONPATH=src python -m seqmnist.ui

serve: setup ## serve the best model, MLflow's champion, to requests from this machine
	@PYTHONPATH=src python -m seqmnist.serve

demo: setup ## start a page on this machine: draw a digit and watch the cells read it
	@PYTHONPATH=src python -m seqmnist.demo

figures: repro ## run the pipeline and copy its figures to docs/figures, which is in git
	@mkdir -p docs/figures && cp reports/figures/*.png docs/figures/

# record_timing=False: the cells' times, which differ in each run, stay out of the file.
tour: repro ## run notebooks/tour.ipynb on the pipeline's results and save its outputs in it
	@PYTHONPATH=src python -c 'import nbclient, nbformat, os; path = "notebooks/tour.ipynb"; tour = nbformat.read(path, 4); \
		nbclient.NotebookClient(tour, record_timing=False, resources={"metadata": {"path": "notebooks"}}).execute(); \
		nbformat.write(tour, f"{path}.part"); os.replace(f"{path}.part", path)'

evidence: setup ## train six seeds of both cells, apart from the default results; writes docs/evidence.json, tables and figures
	@PYTHONPATH=src python -m seqmnist.report.publish evidence

tuned: setup ## train six seeds of both cells by the tuned recipe, over an hour; writes docs/tuned.json, tables and figures
	@PYTHONPATH=src python -m seqmnist.report.publish tuned

bench: setup ## time epochs against Keras, PyTorch (if installed) and the matrix-product floor: half an hour or more
	@python -m benchmarks.run

bench-quick: setup ## time epochs of two cells on a tenth of the images, in two minutes
	@python -m benchmarks.run --quick

bench-pipeline: setup ## time the whole stage train against one written with Keras's parts: a quarter of an hour or more
	@python -m benchmarks.pipeline

# Tests open pages in Debian's Chromium. Where it can't be installed, those tests are skipped; with CI set they fail.
browser:
	@command -v chromium >/dev/null || { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && \
		echo "installing chromium for the tests of pages" && export DEBIAN_FRONTEND=noninteractive && \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || \
		echo "chromium is missing (to install it, run as root on a system with apt-get): browser tests are skipped"

# Debian's faketime sets the clock back for one command. Where it can't be installed, tests of that are skipped; with CI set
# they fail. A fault campaign without it (`make faults`) does not write to docs.
clock:
	@command -v faketime >/dev/null || { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && \
		echo "installing faketime for tests that set the clock back" && export DEBIAN_FRONTEND=noninteractive && \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends faketime >/dev/null; } || \
		echo "faketime is missing (to install it, run as root on a system with apt-get): tests that set the clock back are skipped"

# One test process for each core, at most four: each needs 2 GB of memory.
PYTEST := python -m pytest -n logical --maxprocesses 4 --dist worksteal

test: setup ## run the fast tests, in under five minutes: for every change
	@$(PYTEST) -m "not slow"

test-all: setup browser clock ## run all tests, as continuous integration does
	@$(PYTEST)

# Programs for tests/cluster: Slurm, PostgreSQL, sshd, and `unshare`, whose namespaces give each node its own folders.
cluster-programs:
	@command -v slurmctld >/dev/null && command -v munged >/dev/null && command -v sshd >/dev/null && command -v openssl >/dev/null && command -v unshare >/dev/null && \
		ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && \
		echo "installing slurm-wlm, munge, postgresql and openssh-server for tests/cluster" && export DEBIAN_FRONTEND=noninteractive && \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends slurm-wlm munge postgresql openssh-server openssh-client openssl util-linux >/dev/null; } || \
		echo "some of slurm-wlm, munge, postgresql and openssh-server are missing (to install them, run as root on a system with apt-get)"

test-cluster: setup-cluster cluster-programs ## run tests/cluster, with a real Ray, Slurm, PostgreSQL and remotes on this machine
	@PATH="$(CURDIR)/.venv-cluster/bin:$$PATH:/usr/sbin" python -m pytest --cluster --timeout 600 tests/cluster

faults: setup clock ## inject faults for up to an hour; writes docs/reliability.json and the tables in docs/reliability.md
	@$(PYTEST) --campaign tests/accord/system/faults tests/system/faults

# Wheels are built from a copy without the files of earlier builds, so that their bytes depend on the sources alone.
# SOURCE_DATE_EPOCH is 1980-01-01, the earliest time that a zip file can hold.
wheels: setup ## build the wheels of accord and seqmnist in dist/; the same sources give the same bytes
	@rm -rf dist && copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && \
		cp -R LICENSE README.md pyproject.toml src "$$copy" && chmod -R u=rwX,go=rX "$$copy" && \
		rm -rf "$$copy"/src/*.egg-info "$$copy"/src/accord/*.egg-info "$$copy"/src/accord/build && \
		SOURCE_DATE_EPOCH=315532800 python -m pip --disable-pip-version-check wheel -qq --no-deps --no-build-isolation \
			--wheel-dir dist "$$copy"/src/accord "$$copy" && ls dist/*.whl

lint: setup ## check style, the direction of imports, declared dependencies, workflows and Dockerfiles
	@ruff check && ruff format --check && lint-imports && deptry src/seqmnist && deptry --config src/accord/pyproject.toml src/accord && \
		deptry --config examples/digits/pyproject.toml examples/digits/src/digits && \
		check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/ci.yml && \
		check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff && \
		check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml && \
		zizmor --quiet --offline .github && hadolint deploy/*Dockerfile

types: setup ## check types with mypy
	@mypy

licences: setup ## write docs/licences.md, the licences of all packages that requirements.lock installs here
	@{ printf '%s\n' '# Licences' '' 'Of every package that `make setup` installs, as its metadata gives them; `make licences` writes this page.' \
		'UNKNOWN: the metadata names none, the file LICENSE in the package does.' ''; \
		python -m piplicenses --from=mixed --format=markdown --with-system --no-version --ignore-packages accord digits seqmnist pip; } > docs/.licences.md && \
		mv docs/.licences.md docs/licences.md

lock: setup ## update the lock files from both pyproject.toml files and deploy/requirements.in
	@$(call resolve,pyproject.toml --extra dev,requirements.lock) && cp requirements.lock requirements-cluster.lock && \
		$(call resolve,pyproject.toml --extra dev --extra dev-cluster --extra cluster,requirements-cluster.lock) && \
		cp requirements-cluster.lock deploy/requirements.lock && $(call resolve,deploy/requirements.in,deploy/requirements.lock)

define resolve
uv pip compile $(1) --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-package accord -q -o $(2)
endef
