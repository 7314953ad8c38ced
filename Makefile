# `make help` lists the targets. A finished target is not built again.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Resolves for every platform and Python that the package supports, not only for this machine.
COMPILE := build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-annotate --no-header

# `make setup CPU=1` takes torch from PyTorch's index of CPU builds, without gigabytes of CUDA libraries.
TORCH := $(if $(CPU),--extra-index-url https://download.pytorch.org/whl/cpu)

# The test models are so small that a second process speeds them up and a second thread does not.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup lock audit lint types imports test test-slow test-faults test-reliability bench bench-gpu notebooks docs dist demo ablations evidence clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY)  ## create .venv and install the package with its development tools

$(READY): pyproject.toml constraints.txt requirements.lock requirements-build.lock requirements-triton.lock
	$(PYTHON) -m venv $(VENV)
	@# pip checks every file against its hash. The first list builds the packages that have no wheel.
	$(PIP) --require-hashes --no-deps -r requirements-build.lock
	$(PIP) --require-hashes --no-deps --no-build-isolation --use-pep517 -r requirements.lock
	@# Only torch is left: its builds, and so their hashes, differ from machine to machine.
	$(PIP) --no-build-isolation $(TORCH) -c constraints.txt -e ".[dev]"
	@# The kernels are tested in Triton's interpreter; CUDA builds of torch install Triton themselves.
	@$(BIN)/python -c "import triton" 2>/dev/null || \
	  $(PIP) --require-hashes --no-deps -r requirements-triton.lock || \
	  echo "No Triton for this platform: its tests will be skipped."
	@touch $@

lock:  ## pin the newest versions that pyproject.toml allows, with the hash of every file (needs a network)
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.8"
	$(COMPILE) -c constraints.txt --extra dev pyproject.toml > build/lock/all.txt
	@# leave out torch and the packages that a CUDA build pins: they depend on the machine
	awk '/^[a-z]/ {keep = !/^(torch==|triton==|cuda-|nvidia-)/} keep' build/lock/all.txt > requirements.lock
	printf 'hatchling>=1.27\neditables\nsetuptools>=77\n' \
	  | $(COMPILE) -c requirements.lock - > requirements-build.lock
	echo triton==3.7.1 | $(COMPILE) --no-deps - > requirements-triton.lock

dist: $(READY)  ## build the wheel and the source archive in dist/ and check them as the package index does (needs a network)
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(PYTHON) -m venv build/twine
	build/twine/bin/python -m pip install --quiet --disable-pip-version-check "twine>=6"
	build/twine/bin/twine check --strict dist/*

audit:  ## fail if a locked package has a published vulnerability
	PYTHON=$(PYTHON) .ci/audit

demo: $(READY)  ## train, test, compare and draw figures on a small generated data set
	$(BIN)/pks4 demo --out runs/demo

ablations: $(READY)  ## run Tables 5-9 at demo scale, three seeds, on two cores (within two hours)
	$(BIN)/pks4 ablate --seeds 0 1 2 --jobs 2

EVIDENCE := $(BIN)/pks4 evidence --seeds 0 1 2 3 4 --jobs 2 --probes
evidence: $(READY)  ## compare PKS4's parts on two sets of real images, DATA=EgoGestAR/testvideo (docs/experiments.md)
	$(EVIDENCE) --data.root $(DATA)
	$(BIN)/pks4 demo-data --sources $(DATA) --out runs/motion/data
	$(EVIDENCE) --task motion --data.root runs/motion/data --out runs/motion

test: $(READY)  ## run the default tests: offline, on a CPU, three at a time
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 3 --dist worksteal --ignore tests/reliability

test-faults: $(READY)  ## test recovery from kills, signals and damaged files, a few of each, as for every commit
	@# three processes on two cores: these tests mostly wait
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 3 --dist worksteal tests/reliability

test-slow: $(READY)  ## run the slow tests
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow

test-reliability: $(READY)  ## repeat the tests of test-faults as often as the project promises (most of an hour)
	PKS4_FULL=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/reliability --timeout 3600

lint: $(READY)  ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## check static types
	$(BIN)/mypy

imports: $(READY)  ## check which packages import which
	$(BIN)/lint-imports

LEFT_OUT := machine answers evidence few_clips prior_start gpu_training
bench: $(READY)  ## run every benchmark that needs neither a data set nor a GPU (more than an hour)
	@for script in $(filter-out $(LEFT_OUT:%=benchmarks/%.py),$(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(BIN)/python $$script || exit 1; done

# The GPU measurements in benchmarks/results; install mamba-ssm first to compare our scan with it.
# Each part can be run separately, and should take less than ten minutes.
GPU_PARTS := $(addprefix bench-gpu-,parity scan scan-long block-b16 block-l14 memory training demo)
RESULT := --json benchmarks/results
GPU_SCAN := $(BIN)/python benchmarks/scan.py --sequences 6272 --dtype bfloat16 --repeats 20
GPU_BLOCK := $(BIN)/python benchmarks/block.py --frames 8 --step --repeats 10
GPU_B16 := $(GPU_BLOCK) --models B/16 --batch 32
GPU_L14 := $(GPU_BLOCK) --models L/14 --batch 16
GPU_RUN := --config demo/pks4 --data.root runs/gpu/data --trainer.accelerator gpu
.PHONY: $(GPU_PARTS)

bench-gpu: $(GPU_PARTS)  ## measure everything on an NVIDIA GPU; bench-gpu-parity and so on are its parts

bench-gpu-parity: $(READY)
	$(BIN)/python benchmarks/parity.py $(RESULT)/parity_gpu.json
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/ops tests/cost tests/cli -m "gpu or parity"

bench-gpu-scan: $(READY)
	$(GPU_SCAN) --steps 8 16 $(RESULT)/scan_gpu.json
	$(BIN)/python benchmarks/convolution.py $(RESULT)/convolution_gpu.json

bench-gpu-scan-long: $(READY)
	$(GPU_SCAN) --steps 32 64 $(RESULT)/scan_gpu_long.json

bench-gpu-block-b16: $(READY)
	$(GPU_B16) $(RESULT)/block_gpu_b16.json
	$(GPU_B16) --compile $(RESULT)/block_gpu_b16_compile.json
	$(GPU_B16) --checkpointing $(RESULT)/block_gpu_b16_checkpointing.json

bench-gpu-block-l14: $(READY)
	$(GPU_L14) $(RESULT)/block_gpu_l14.json
	$(GPU_L14) --compile $(RESULT)/block_gpu_l14_compile.json
	$(GPU_L14) --checkpointing $(RESULT)/block_gpu_l14_checkpointing.json

bench-gpu-memory: $(READY)  # measured memory of PKS4 and its peers, with the paper's values
	$(BIN)/pks4 cost --paper --table 1 --measure

bench-gpu-training: $(READY)
	$(BIN)/python benchmarks/gpu_training.py $(RESULT)/training_gpu.json

bench-gpu-demo: $(READY)
	$(BIN)/pks4 demo-data --out runs/gpu/data
	$(BIN)/pks4 fit $(GPU_RUN) --trainer.max_epochs 12 --trainer.default_root_dir runs/gpu/pks4
	$(BIN)/pks4 test --ckpt_path runs/gpu/pks4/checkpoints/best.ckpt

notebooks: $(READY)  ## execute the notebooks
	@for notebook in notebooks/*.ipynb; do echo "== $$notebook"; \
	  $(BIN)/jupyter-execute --timeout 300 $$notebook || exit 1; done

docs: $(READY)  ## build the documentation site in build/site and execute its notebooks
	HF_HUB_OFFLINE=1 $(BIN)/python -m sphinx -q -W --keep-going docs build/site

clean:  ## remove build results and the demo's output; keeps .venv
	rm -rf runs/demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -exec rm -rf {} +
