# Each target makes its own environment first, once; it is made anew when pyproject.toml or
# constraints.txt change. PYTHON=python3.12 picks an interpreter, WORKERS=8 more test processes.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Twice quiet: errors still show.
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.PHONY: help demo test check bench

help:
	@echo "make demo    films, a system trained on them, a report and a timeline, offline"
	@echo "make test    all tests"
	@echo "make check   lint, format and types"
	@echo "make bench   from a file to a timeline, and where a training step goes (minutes)"

demo: $(READY)
	@$(BIN)/mien demo --out runs/demo
	@echo; echo "(. $(BIN)/activate puts mien on the path)"

test: $(READY)
	@$(BIN)/python -m pytest -n $(WORKERS)

check: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# CLIP=talk.mp4 FACES=yunet.onnx measure on a real clip with YuNet.
bench: $(READY)
	@$(BIN)/python benchmarks/media.py $(CLIP) $(if $(FACES),--face-weights $(FACES))
	@$(BIN)/python benchmarks/profile_claip_emo.py

# The stamp comes last, so that an interrupted installation starts again.
$(READY): pyproject.toml constraints.txt pocket/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
		echo "error: there is no $(PYTHON) here; mien needs Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: mien needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1)" >&2; \
		echo "  try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "making $(VENV): torch and its companions, a minute or more"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(INSTALL) torch && $(INSTALL) -e ".[dev]" -e ./pocket || { \
		echo "  for the whole story: $(BIN)/pip install -c constraints.txt -e '.[dev]' -e ./pocket" >&2; exit 1; }
	@touch $@
