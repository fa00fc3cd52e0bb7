# The two commands to know: `make demo` and `make test`. Each sets up everything it needs, in .venv.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check browser pictures bench bench-train format clean

demo: $(READY)  ## set up, then the whole method once; goes on serving at 127.0.0.1:8000
	$(RUN)/zhongjing demo

test: $(READY) browser check  ## set up, then everything that must hold

check: $(READY)  ## format, lint, types, import rules, tests (with `alembic check` on both databases)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/python -m pytest -n auto --maxprocesses=4

browser: $(READY)  ## a Chromium for the tests, where none is installed
	$(RUN)/python -m tests.browser.install

pictures: $(READY) browser  ## the pictures of the README again, from a demonstration at its end; URL=… for another port
	$(RUN)/python -m tests.browser.pictures $(URL)

bench: $(READY)  ## what web and data can take, a JSON object a line; QUICK=1 for a look, ARGS=--seed=1 for others
	@$(RUN)/python -m bench $(if $(QUICK),--quick) $(ARGS)

bench-train: $(READY)  ## training beside its peers and through faults: DATA=… a file of CMtMedQA's format; QUICK=1 for a look
	@test -n "$(DATA)" || { echo "Name the dialogues to train on: make bench-train DATA=cmtmedqa_test.json"; exit 2; }
	@$(RUN)/python -m bench --data $(DATA) $(if $(QUICK),--quick) $(ARGS)

format: $(READY)
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

clean:  ## removes the virtual environment and the demonstration
	rm -rf $(VENV) var

# The stamp is newer than what it was made from, or the packages are installed again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: name it, as in 'make PYTHON=python3.12 $(MAKECMDGOALS)'"; exit 2; }
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[train,postgres,dev]'
	@touch $@
