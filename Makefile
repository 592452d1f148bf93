# Everything sets itself up from a bare checkout: Python 3.11 or newer and make are all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test lint bench bench-net bench-codecs compare clean
help:
	@echo 'make demo    real DICOM through the whole farm, on embedded servers'
	@echo 'make test    linters, types, architecture and all tests'
	@echo 'make bench   figures against cp and other tools, side by side'
	@echo 'make bench-net receiving and retrieving against DCMTK, Orthanc and pynetdicom'
	@echo 'make bench-codecs transcoding against bare codecs, DCMTK, GDCM and pydicom'
	@echo 'make compare leaks, conformance and speed against other tools, as a table'
	@echo 'make clean   remove what the above made'

setup: $(VENV)/.done
$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,test]'
	@touch $@

demo: setup
	$(BIN)/farm demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A file of tests stays on one processor: what its fixtures start serves all of it.
test: lint
	$(BIN)/pytest --numprocesses 2 --dist loadfile

bench: setup
	$(BIN)/python -m tests.bench

bench-net: setup
	$(BIN)/python -m tests.bench.net.receive
	$(BIN)/python -m tests.bench.net.durable
	$(BIN)/python -m tests.bench.net.retrieve

bench-codecs: setup
	$(BIN)/python -m tests.bench.codecs

compare: setup
	$(BIN)/python -m tests.compare

clean:
	rm -rf $(VENV) *.egg-info build dist demo-output .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
