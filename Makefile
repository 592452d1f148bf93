# Everything sets itself up from a bare checkout: Python 3.11 or newer and make are all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test laws lint bench bench-net bench-codecs compare clean
help:
	@echo 'make demo    real DICOM through the whole farm, on embedded servers'
	@echo 'make test    linters, types, architecture and all tests'
	@echo 'make laws    the tests that take chances, at full size (an hour or two)'
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

# A file of tests stays in one process: what its fixtures start serves all of it. Three of them keep two processors
# busy, since a good part of the tests waits for other programs.
test: lint
	$(BIN)/pytest --numprocesses 3 --dist loadfile

# What `make test` samples: mutated input, clean and planted instances, kills, faults on the wire, raced UIDs.
laws: setup
	NET_MUTATIONS=100000 CODEC_MUTATIONS=20000 TRANSCODE_MUTATIONS=2000 GATE_SURVIVORS=10000 GATE_CLEAN=10000 \
	RACED_UIDS=1000000 ATTACKED_IDS=1000000 SCP_KILLS=200 HARVEST_FAULTS=full $(BIN)/pytest --timeout 7200 \
	tests/unit/test_net_fuzz.py tests/unit/test_codecs_mutations.py tests/unit/test_transcoding_corpus.py \
	tests/unit/test_gate_laws.py tests/unit/test_mapping.py tests/integration/test_registry_subjects.py \
	tests/acceptance/test_scp_kills.py tests/interop/test_harvest_faults.py

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
