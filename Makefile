# Everything sets itself up: a fresh clone needs Python 3.11 or later and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: setup demo demo-generate test test-fast test-portable test-pythons lint conformance fuzz bench clean

setup: $(INSTALLED)

# Installed once; again only when the dependencies change.
$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

.venv/.installed-bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

# Trains a small network, exports it, and takes it through every command.
demo: $(INSTALLED)
	$(BIN)/python -m bridge demo

# Trains a tiny language model on Python's manual, and has it write; two minutes.
demo-generate: $(INSTALLED)
	$(BIN)/python examples/generate.py

# Style, types and layers, then the tests; what CI runs. A process without tests takes some of the other's.
test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not conformance'

# Those that compile on no engine, in two minutes: while you edit. tests/fast.py says what is left out.
test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --no-engines -m 'not conformance'

# Engines, packing, pipelines and numerics held to SSE4.2 and to AVX2, on one core, under load; CI runs it too.
test-portable: $(INSTALLED)
	$(BIN)/python -m tests.portable

# Reading, lowering and running without torch under the other Pythons, as far as they are found.
PYTHONS ?= python3.12 python3.13
test-pythons: $(INSTALLED)
	sh tests/pythons.sh $(PYTHONS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Slow and exhaustive: models at their published sizes, then torch's databases; the results go into docs/.
DTYPES := float32,float64,float16,bfloat16,int64,int32,uint8,bool,complex64
conformance: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 -m conformance
	$(BIN)/python -m tests.conformance
	$(BIN)/python -m tests --source --output docs/zoo
	$(BIN)/python -m tests.dynamic_binaries
	$(BIN)/python -m tests.all_sizes --report
	$(BIN)/python -m tests.determinism --report
	$(BIN)/python -m tests.growth
	$(BIN)/python -m tests.serving
	$(BIN)/python -m tests.opdb --engine xla,iree,aten --dtype $(DTYPES) --jobs 2 --report
	$(BIN)/python -m tests.databases --jobs 2

# Hours; goes on where it ended. Exit status 1 where a file, an artifact or a value did harm (docs/security.md).
fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz.files
	$(BIN)/python -m tests.fuzz.artifacts
	$(BIN)/python -m tests.fuzz.modules
	$(BIN)/python -m tests.fuzz.weights
	$(BIN)/python -m tests.fuzz.operators

# Hours, and the machine to itself; goes on where it ended. The results go into docs/benchmarks.md.
bench: .venv/.installed-bench
	$(BIN)/python -m benchmarks.models
	$(BIN)/python -m benchmarks.models --pin
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.lowering
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.boundaries

clean:
	rm -rf .venv build out
