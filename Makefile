# Verbs only; `make` lists them. The environment is .venv/, everything built is cached in build/.
PYTHON ?= python3
BIN := .venv/bin
BOARD ?= zc706

.DEFAULT_GOAL := help
.PHONY: help train results test sim compare rtl lint docs bitstream bitstream-check board-package clean

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

train: .venv/installed ## train the digits network with cyclic precision on the simulated accelerator
	$(BIN)/cpt train --run-name digits $(ARGS)

test: .venv/installed lint ## lint, types, unit tests and a seeded sample of the slow suites
	$(BIN)/python -m pytest $(ARGS)

sim: .venv/installed ## full regression: every precision, random shapes and stalls, all cocotb benches, killed training runs
	$(BIN)/python -m cpt.sim.regression --full $(ARGS)
	$(BIN)/python tests/kill_and_resume.py --kills 20

results: .venv/installed ## train every method on the bundled data and write docs/results.md (hours)
	$(BIN)/cpt results $(ARGS)

compare: .venv/installed ## cycles of a training step: RTL beside fast model, per program
	$(BIN)/cpt compare $(ARGS)

rtl: .venv/installed ## write the accelerator's Verilog to build/verilog/
	$(BIN)/python -m cpt.hw.export --preset zc706 -o build/verilog/zc706 $(ARGS)

lint: .venv/installed ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed ## regenerate the register and instruction reference
	$(BIN)/python -m cpt.hw.contract.render

bitstream: .venv/installed ## build the bitstream in build/bitstream/BOARD/ (needs Vivado)
	$(BIN)/cpt bitstream --board $(BOARD) $(ARGS)

bitstream-check: .venv/installed ## check everything about the bitstream that needs no Vivado
	$(BIN)/cpt bitstream --check $(ARGS)

board-package: .venv/installed ## pack runtime, digits and bitstream for a board in build/board/
	$(BIN)/cpt package --board $(BOARD) $(ARGS)

clean: ## delete the environment, everything built and all runs
	rm -rf .venv build runs

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,sim,dev]'
	touch $@
