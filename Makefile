PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help leaderboard boards test lint bench weights generator panel schema clean

help:
	@echo "make leaderboard   set up, run the default suite, say where the board is"
	@echo "make test          set up, run the tests"
	@echo "make lint          ruff, mypy --strict, the exported JSON Schema, zizmor"
	@echo "make boards        run portraits-v1 and regenerate results/portraits-v1"
	@echo "make bench         speed and memory as ratios"
	@echo "make weights       train the referees of the portraits suites anew"
	@echo "make generator     train the generator of the portraits suites anew (about half an hour of one core; resumes)"
	@echo "make panel         simulate the panels of the portraits suites and train their networks anew"
	@echo "make schema        export the JSON Schema of a record"

$(VENV)/.base: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

# Programs that are entrants live in environments of their own, as their users have them.
$(VENV)/.programs: $(VENV)/.base
	$(PYTHON) -m venv $(VENV)/deface
	$(VENV)/deface/bin/pip install --quiet --disable-pip-version-check "deface>=1.5"
	@touch $@

leaderboard: $(VENV)/.base
	@$(BIN)/anonbench run portraits-smoke --out leaderboard/portraits-smoke

STUDY := build/panel/portraits-v1-evaluated

boards: $(VENV)/.base
	$(BIN)/anonbench run portraits-v1 --out results/portraits-v1
	$(BIN)/anonbench perceptanon panel portraits-v1 --people evaluated --variants 4 --out $(STUDY)
	$(BIN)/anonbench perceptanon correlate $(STUDY) --suite portraits-v1 --out results/portraits-v1

test: $(VENV)/.dev $(VENV)/.programs
	PATH="$(CURDIR)/$(VENV)/deface/bin:$$PATH" $(BIN)/python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m benchmark.schema --check docs/record.schema.json
	$(BIN)/zizmor --offline --quiet --persona=pedantic .github

bench: $(VENV)/.dev $(VENV)/.programs
	PATH="$(CURDIR)/$(VENV)/deface/bin:$$PATH" $(BIN)/python -m tests.bench

weights: $(VENV)/.base
	$(BIN)/python -m suites.train portraits-smoke portraits-v1

generator: $(VENV)/.base
	$(BIN)/anonbench generator train portraits-v1 --out anonymizers/kanonymity/weights/portraits.safetensors

panel: panel-portraits-smoke panel-portraits-v1

NETWORK := network/simulated-HA2-all-mean-regression-small-resnet-seed1
panel-%: $(VENV)/.base
	$(BIN)/anonbench perceptanon panel $* --out build/panel/$*
	$(BIN)/anonbench perceptanon train build/panel/$* --study HA2 --backbone small-resnet --width 16 --size 64 \
		--epochs 10 --batch 64 --rate 0.02 --seed 1 --half --threads 1 --out build/panel/$*/network
	$(BIN)/python -m suites.pin $* panel.safetensors=build/panel/$*/$(NETWORK).safetensors \
		panel.json=build/panel/$*/$(NETWORK).json

schema: $(VENV)/.dev
	$(BIN)/python -m benchmark.schema docs/record.schema.json

clean:
	rm -rf $(VENV) leaderboard build *.egg-info
