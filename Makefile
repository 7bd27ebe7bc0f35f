PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
BIN    := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

.PHONY: demo test check golden family docs bench clean

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)" numpy
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: $(VENV)/.ready  ## run a program that fails, as it should, and see why
	cd examples && ! ../$(BIN)/torchwhy run train.py

test: $(VENV)/.ready check  ## all that must pass
	$(BIN)/python -m pytest

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

golden: $(VENV)/.ready  ## write the texts of all examples anew; then read the diff
	GOLDEN=write $(BIN)/python -m pytest tests/families

family: $(VENV)/.ready  ## make family NAME=shape.linear
	$(BIN)/python tools/new_family.py $(NAME)

docs: $(VENV)/.ready  ## the list of families, the site of all codes (build/site) and the picture of the README
	$(BIN)/python tools/families.py
	$(BIN)/python tools/messages.py
	$(BIN)/python tools/website/publish.py
	$(BIN)/python tools/picture.py

bench: $(VENV)/.ready  ## what docs/overhead.md, memory.md, mutants.md and wrong-calls.md hold; takes half an hour
	for name in overhead memory mutants wrong_calls mutated_logs large_log; do $(BIN)/python bench/$$name.py || exit 1; done

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
