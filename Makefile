# make demo   simulate, train four guides, predict, compare: see demo-output/
# make test   style, types, tests
# make bench  measure speed and memory against plain references: an hour, on a quiet machine
# make clean  remove what they made

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test bench clean

demo: $(INSTALLED)
	$(BIN)/bayescr demo --output demo-output

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal -m "slow or not slow"

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks --output bench-output

# torch comes first, by its exact version; pip's settings (PIP_EXTRA_INDEX_URL) choose its build.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bayescr needs Python 3.11 or later: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

clean:
	rm -rf .venv demo-output bench-output build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
