# `make demo` and `make test` need Python >= 3.11, pip and a package index. `make help` lists the rest.

BIN := .venv/bin
CODE := $(wildcard src tests scripts benchmarks reference examples)
DEMO_FLAGS ?=
SERVICES ?=
TEST_FLAGS ?=
BENCH ?=

# Else every process of every test would compile Pileus anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports unit services test-services format docs conformance bench install install-demo

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install-demo ## environment, install, train on embedded handwriting, open the page (DEMO_FLAGS="--no-serve")
	$(BIN)/pileus demo $(DEMO_FLAGS)

test: lint types imports unit ## environment, install, every test that needs no server of its own

services: ## install what the service tests need (SERVICES="chromium" for a choice)
	scripts/services.sh $(SERVICES)

test-services: install ## the tests that need a real server or a browser
	$(BIN)/pytest -m service -n 2 --dist loadfile --no-loadscope-reorder $(TEST_FLAGS)

lint: install ## ruff: rules and format
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: install ## mypy, strict
	$(BIN)/mypy $(CODE)

imports: install ## the import contracts of .importlinter
	$(BIN)/lint-imports --no-cache

unit: install ## pytest without the service tests (TEST_FLAGS="-k name")
	$(BIN)/pytest -m "not service" -n 2 --dist worksteal $(TEST_FLAGS)

format: install ## rewrite the code as ruff wants it
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

docs: install ## regenerate the generated parts: pictures, the dashboard, the list of knobs, tables of what engines keep
	$(BIN)/python -m scripts.draw_architecture
	$(BIN)/python -m scripts.list_knobs
	$(BIN)/python -m scripts.draw_life
	$(BIN)/python -m scripts.draw_dashboard
	$(BIN)/python -m scripts.tell_conformance
	$(BIN)/python -m scripts.show_fingerprints

conformance: install ## hold every engine to its promises and under faults, and write docs/conformance.md (about an hour)
	rm -rf .conformance && mkdir .conformance
	-$(BIN)/pytest -q tests/contracts -n 2 --dist loadfile --no-loadscope-reorder --junitxml=.conformance/tests.xml
	-for engine in fake local ray dask spark; do \
		$(BIN)/pileus doctor --faults $$engine --json > .conformance/$$engine.json; done
	$(BIN)/python -m scripts.tell_conformance .conformance/*

bench: install ## measure, and write a record folder (BENCH="training")
	$(BIN)/pileus bench $(BENCH)

install:
	@scripts/environment.sh train,serve,dev

install-demo:
	@scripts/environment.sh train,serve
