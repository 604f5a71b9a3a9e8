# On a fresh machine with Python 3.11 (or newer) and make, each target does its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO ?= demo

.PHONY: demo test lint benchmarks prove clean
.DEFAULT_GOAL := demo

demo: $(INSTALLED)  ## synthetic cohort -> train -> predict -> $(DEMO)/index.html
	$(BIN)/breastpredict demo --out $(DEMO)

test: lint  ## everything CI runs
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmarks: $(INSTALLED)  ## ratios against named baselines, measured in one run
	for script in Testing/benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

prove: $(INSTALLED)  ## what is too long for CI; writes Testing/evidence/
	$(BIN)/python Testing/prove/her2_phantom.py
	$(BIN)/python Testing/prove/label_shuffles.py
	$(BIN)/python Testing/prove/vit_tiny.py
	$(BIN)/python Testing/prove/se_crosst_full.py
	$(BIN)/python Testing/prove/pcr_phantom.py
	$(BIN)/python Testing/prove/mutations.py
	$(BIN)/python Testing/prove/coverage.py
	$(BIN)/python Testing/prove/batch_kills.py
	$(BIN)/python Testing/prove/icc_coverage.py

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "BreastPredict needs Python 3.11 or newer; say which with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dask,models,openslide,pathology,reports,slicer,test]"
	touch $@

clean:
	rm -rf $(VENV) build $(DEMO)
