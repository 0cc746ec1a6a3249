# All that Steward needs to be tried, tested and deployed. `make` lists it.
PYTHON ?= python3
BIN := .venv/bin
NEW_ENOUGH = $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Steward needs Python 3.11 or newer; say which: make PYTHON=python3.12 …")'
# Where `make install` puts its commands (bin) and their environment (lib/steward).
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)
ENVIRONMENT = $(PREFIX)/lib/steward
WORKERS ?= 2
.DEFAULT_GOAL := help
.PHONY: help demo install test check servers worker deploy bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(BIN)/steward ## see the main job work on real servers; Ctrl-C ends it, ONCE=1 lets it end by itself
	$(BIN)/python -m sandbox.demo $(if $(ONCE),--once)

install: ## install the commands without what only tests need: in /usr/local as root, else in ~/.local; or PREFIX=…
	@$(NEW_ENOUGH)
	$(PYTHON) -m venv "$(ENVIRONMENT)"
	"$(ENVIRONMENT)/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt .
	@mkdir -p "$(PREFIX)/bin"
	@cd "$(ENVIRONMENT)/bin" && for command in $$(grep -l 'flows\.cli' *); do \
		link="$(PREFIX)/bin/$$command"; \
		if [ -e "$$link" ] && [ "$$(readlink "$$link")" != "$$PWD/$$command" ]; then \
			echo "$$link is another program, and stays: use $$PWD/$$command"; \
		else ln -sf "$$PWD/$$command" "$$link" && echo "$$link"; fi; \
	done
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; *) echo 'Not on your PATH yet: export PATH="$(PREFIX)/bin:$$PATH"';; esac

test: $(BIN)/steward servers ## run the tests on real servers
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST)

check: $(BIN)/steward ## check style, types and the walls between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

servers: ## install the servers and the browser that no wheel carries, with Debian's packages
	@sh sandbox/install-servers

worker: $(BIN)/steward ## start a worker for the deployments, of this checkout
	STEWARD_HOME="$(CURDIR)" $(BIN)/prefect worker start --pool steward --type process

deploy: $(BIN)/steward ## put the deployments, blocks and alerts on the server at PREFECT_API_URL
	$(BIN)/python -m deployments

bench: $(BIN)/steward ## measure hmap-clean beside what people do today (8 minutes)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/hmap_clean.py

clean: ## remove what make made
	rm -rf .venv

$(BIN)/steward: pyproject.toml constraints.txt
	@$(NEW_ENOUGH)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@
