# Thin: each target is one command that you may type yourself.
#   make run     environment, quick start, results/report.html      make test    the test suite
#   make lint    formats, types, workflow                           make unlock  after a kill or a power cut
# Another interpreter: make run PYTHON=python3.12. Another configuration: make run ARGS="--configfile config/full.yaml"

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
STAMP  := $(VENV)/.installed
PATH   := $(abspath $(VENV))/bin:$(PATH)
export PATH

.PHONY: run resume audit report compare test lint format unlock readme lock clean environment docs
.DEFAULT_GOAL := run

run: $(STAMP)
	@python src/run.py --profile workflow/profiles/default --logger seqscale $(ARGS)
	@echo "The report: $(CURDIR)/results/report.html"

# The report of whatever is there, holes named; trains nothing.
report: $(STAMP)
	@snakemake --profile workflow/profiles/default --quiet all $(ARGS) -- partial_report

# Two runs side by side: make compare A=results B=results/reference/h200 (folders or reports)
A ?= results
B ?= results/reference/h200
compare: $(STAMP)
	@python src/compare.py --a $(A) --b $(B) --out results/compare.html

test: $(STAMP)
	@pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	snakemake --lint

format: $(STAMP)
	ruff check --fix-only --quiet .
	ruff format --quiet .
	snakefmt --quiet Snakefile workflow

# the same word as run: what a kill, a crash or a power cut left locked is unlocked, unless a run is still alive
resume: run

audit: $(STAMP)
	@python src/audit.py

unlock: $(STAMP)
	snakemake --unlock

readme: $(STAMP)
	snakemake --cores 1 --quiet all -- readme_pictures
	python .ci/readme.py

lock: $(STAMP)
	python .ci/lock.py

docs: $(STAMP)
	mkdocs build --strict --quiet

environment: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "SeqScale needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "This Python cannot make virtual environments. On Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing $$(grep -c == requirements.lock) pinned packages into $(VENV) (once; about two minutes)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf results/[a-z]*.html results/analyses results/bench results/checkpoints results/claims results/compare.csv \
	  results/config.json results/dag.json results/data results/figures results/jobs results/logs results/records results/runs \
	  results/search results/tables results/verdicts.* results/work .snakemake
