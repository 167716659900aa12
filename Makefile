# `make demo [IMAGE=path]` shows a classified metaphase, `make test` runs every check.
SHELL := /bin/bash
VENV ?= .venv
PY := $(VENV)/bin/python
IMAGE ?=
OUT ?= demo_output
DATA ?= ../shared/data
WORK ?= scratch/model
# Two processes, each with a display of its own (pytest-xvfb) and one thread for torch.
TESTS := OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --durations 25
STAMP := $(VENV)/.installed

.PHONY: env demo test check benchmark model lint types pictures clean
.DEFAULT_GOAL := test

$(STAMP): pyproject.toml tools/bootstrap.sh tools/system_libraries.sh
	@bash tools/bootstrap.sh $(VENV)
	@touch $(STAMP)

env: $(STAMP)

demo: env
	@bash tools/with_display.sh --optional $(VENV)/bin/chromocluster demo $(if $(IMAGE),"$(IMAGE)") --output "$(OUT)"

lint: env
	$(VENV)/bin/ruff check src tests recipes benchmarks docs
	$(VENV)/bin/ruff format --check src tests recipes benchmarks docs

types: env
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/npe2 validate src/napari_chromocluster/napari.yaml

test: lint types
	$(TESTS) -m "not slow"

# Also the slow tests, and those of the recipe of the embedded model.
check: lint types
	$(TESTS) tests src/napari_chromocluster recipes

benchmark: env
	bash tools/with_display.sh $(PY) benchmarks/performance.py $(DATA)

model: env
	$(PY) recipes/default_model/make_model.py $(DATA) $(WORK) --target $(WORK)/three_networks.safetensors

pictures: env
	bash tools/with_display.sh $(PY) docs/make_pictures.py
	bash tools/with_display.sh $(PY) docs/review_picture.py
	bash tools/with_display.sh $(PY) docs/training_picture.py
	$(PY) docs/model_examples.py

clean:
	rm -rf $(VENV) $(VENV)-uv .mypy_cache .ruff_cache .pytest_cache build dist demo_output
