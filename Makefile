# The commands of daily work; `make` alone lists them. Each makes .venv and installs what is missing by itself.

VENV := .venv
GATEWAYS := .venv-gateways
CLIENTS := .venv-clients
BENCH := .venv-bench
R2R := .venv-r2r
MCP := .venv-mcp
SEARXNG := .venv-searxng
DOCS := .venv-docs
DEPLOY := .venv-deploy
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check --no-input --quiet
# Two processes share the test files, in their order, each with servers of its own.
TWO := -n 2 --dist loadfile --no-loadscope-reorder
# Images of containers often set it. Each process of a test would compile all of Holdfast again, and pytest its tests.
unexport PYTHONDONTWRITEBYTECODE
LOCK := $(PYTHON) -m piptools compile --quiet --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

# $(call environment,FOLDER,NAME,WHAT): WHAT of requirements-NAME.txt in an environment of its own, unless it is there. The
# pins are copied last, so whatever was cut short is done again.
define environment
@cmp -s requirements-$(2).txt $(1)/requirements.txt && exit 0; \
	echo "Installing $(3) ..."; \
	umask 022; \
	rm -rf $(1) && $(PYTHON) -m venv $(1) \
		&& $(PIP) --python $(1)/bin/python install --root-user-action=ignore -r requirements-$(2).txt \
		&& cp requirements-$(2).txt $(1)/requirements.txt
endef

.DEFAULT_GOAL := help
.PHONY: help run test check slow fix contract gateways r2r mcp searxng chaos chaos-short sandbox test-sandbox test-sandbox-walls test-browser screenshots bench bench-steady bench-growth bench-bloat bench-scaling bench-retrieval bench-sandbox bench-scale bench-fairness bench-admin drill-upgrade vendor lock venv installed installed-dev drill-restore docs compatibility drill-secrets check-deploy check-image clients
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1\t/p' Makefile

run: installed ## start everything: PostgreSQL, Valkey, web and worker; Ctrl-C ends it
	@exec $(PYTHON) manage.py up

test: installed-dev ## all tests but the slow ones, the SDKs' contract, the gateways, real services, chaos, the sandbox, the browser
	@exec $(PYTHON) -m pytest $(TWO) -m "not slow and not contract and not clients and not gateways and not r2r and not mcp and not searxng and not chaos and not sandbox and not browser"

slow: installed-dev ## the tests that take long: processes that die, races, hostile files
	@exec $(PYTHON) -m pytest $(TWO) -m "slow and not r2r and not sandbox and not browser"

contract: installed-dev ## the official SDKs against a live server
	@exec $(PYTHON) -m pytest -m contract

clients: installed-dev ## LangChain, LlamaIndex, the AI SDK and LibreChat's requests, as the guides tell it; into .venv-clients (340 MB)
	$(call environment,$(CLIENTS),clients,clients into $(CLIENTS) (only this once; 340 MB))
	@if command -v npm >/dev/null; then npm ci --silent --prefix assistant_site/tests/clients; fi
	@exec $(PYTHON) -m pytest -m clients

# LiteLLM pins what it needs, so it gets an environment of its own.
gateways: installed-dev ## whole runs through the real LiteLLM proxy, installed into .venv-gateways (750 MB)
	$(call environment,$(GATEWAYS),gateways,LiteLLM into $(GATEWAYS) (only this once; 750 MB, some minutes))
	@exec $(PYTHON) -m pytest -m gateways

# R2R's last release needs what was current at its time: requirements-r2r.txt is not written by `make lock`.
r2r: installed-dev ## the retrieval engine against the real R2R, installed into .venv-r2r (730 MB)
	$(call environment,$(R2R),r2r,R2R into $(R2R) (only this once; 730 MB, some minutes))
	@exec $(PYTHON) -m pytest -m r2r

# Most MCP servers are on the protocol package's first line, Holdfast on its second.
mcp: installed-dev ## whole runs with a real MCP server, installed into .venv-mcp (72 MB)
	$(call environment,$(MCP),mcp,an MCP server into $(MCP) (only this once; 72 MB))
	@exec $(PYTHON) -m pytest -m mcp

searxng: installed-dev ## web search with the real SearXNG, installed into .venv-searxng (150 MB)
	$(call environment,$(SEARXNG),searxng,SearXNG into $(SEARXNG) (only this once; 150 MB))
	@exec $(PYTHON) -m pytest -m searxng

check-deploy: installed-dev ## Dockerfile, Compose files, Kubernetes manifests, units: schemas and linters in .venv-deploy (200 MB)
	$(call environment,$(DEPLOY),deploy,what checks deploy/ into $(DEPLOY) (only this once; 200 MB))
	@exec $(PYTHON) -m pytest -m "not slow" deploy

check-image: installed-dev ## builds the images and runs docker-compose.yml without Docker, as root on Debian with podman; ten minutes
	@exec $(PYTHON) -m deploy.check.check

chaos: installed-dev ## kills and cuts by the hundred, every run judged; SEED=7 KILLS=1000 MINUTES=30 ROUND=3
	@exec $(PYTHON) -m runs.tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(ROUND),--round $(ROUND))

chaos-short: installed-dev ## the same with a short seed, as CI does
	@exec $(PYTHON) -m pytest -m chaos

# Where the settings have it; `make run` does it by itself.
sandbox: installed ## build the Python that the code interpreter runs, in var/sandbox (700 MB, half a minute)
	@exec $(PYTHON) -m sandbox.environment \
		"$$($(PYTHON) -c 'from assistant_site.settings import SANDBOX_DIR; print(SANDBOX_DIR)')"

test-sandbox: installed-dev ## what hostile code must not be able to do, in the real sandbox; needs bubblewrap (Linux)
	@exec $(PYTHON) -m pytest $(TWO) -m sandbox

test-sandbox-walls: installed-dev ## each of those tests without the protection it is for: it must fail; ROWS="N1 R3"
	@exec $(PYTHON) -m sandbox.tests.isolation.without $(ROWS)

test-browser: installed-dev ## the playground in a real browser; needs Chromium (Debian: apt-get install chromium)
	@exec $(PYTHON) -m pytest -m browser

screenshots: installed-dev ## the pictures of the playground in docs/images anew; needs Chromium and fonts with Chinese and Japanese
	@exec $(PYTHON) -m assistant_site.playground.screenshots

bench: installed-dev ## overheads, streams at once, requests, CPU, memory; five minutes; QUICK=1 ONLY=runs,crud COMPARE=../checkout
	@exec $(PYTHON) -m benchmarks.bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) \
		$(if $(COMPARE),--compare $(COMPARE)) $(if $(OTHER),--other "$(OTHER)")

bench-steady: installed-dev ## many streams for minutes, each checked, a row a minute; MINUTES=10 STREAMS=300 TENANTS=20
	@exec $(PYTHON) -m benchmarks.steady $(if $(MINUTES),--minutes $(MINUTES)) $(if $(STREAMS),--streams $(STREAMS)) \
		$(if $(TENANTS),--tenants $(TENANTS))

bench-growth: installed-dev ## empty and grown tables in turns; half an hour, 15 GB; TENANTS=100 RUNS=10000 MESSAGES=100000 LONG=1000
	@exec $(PYTHON) -m benchmarks.growth $(if $(TENANTS),--tenants $(TENANTS)) $(if $(RUNS),--runs $(RUNS)) \
		$(if $(MESSAGES),--messages $(MESSAGES)) $(if $(LONG),--long $(LONG))

bench-bloat: installed-dev ## tables and indexes under a steady load of runs; MINUTES=30 RATE=10
	@exec $(PYTHON) -m benchmarks.bloat $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE))

bench-scaling: installed-dev ## one web process and one worker against two of each; what a run costs in each part; five minutes
	@exec $(PYTHON) -m benchmarks.scaling

bench-retrieval: installed-dev ## how well searches find, with a real multilingual model (170 MB) in .venv-bench; Debian
	$(call environment,$(BENCH),bench,an embedding model into $(BENCH) (only this once; 170 MB))
	@exec $(PYTHON) -m benchmarks.retrieval

bench-sandbox: installed-dev ## what code sessions cost: start, execution, memory; fifty of them at once; five minutes
	@exec $(PYTHON) -m benchmarks.sandbox

bench-scale: installed-dev ## search in a store of 200,000 passages beside a thousand small ones; 15 minutes, 4 GB
	@exec $(PYTHON) -m benchmarks.scale

bench-fairness: installed-dev ## first tokens of nine tenants beside one with 2,000 queued runs; four minutes
	@exec $(PYTHON) -m benchmarks.fairness

bench-admin: installed-dev ## the admin at a million runs and ten million messages; 15 minutes, 12 GB; RUNS=10000 MESSAGES=100000
	@exec $(PYTHON) -m benchmarks.admin $(if $(RUNS),--runs $(RUNS)) $(if $(MESSAGES),--messages $(MESSAGES))

drill-upgrade: installed-dev ## the previous release is upgraded under load and rolled back; nobody may notice; four minutes
	@exec $(PYTHON) -m drills.rolling_upgrade

drill-restore: installed-dev ## a loaded installation is backed up, killed, restored elsewhere and compared; two minutes; TENANTS=4 SECONDS=30
	@exec $(PYTHON) -m drills.restore $(if $(TENANTS),--tenants $(TENANTS)) $(if $(SECONDS),--seconds $(SECONDS))

docs: installed-dev ## the documentation as a site in var/docs/site, its reference generated from code, every link looked at
	$(call environment,$(DOCS),docs,mkdocs-material into $(DOCS) (only this once; 70 MB))
	@$(PYTHON) -m documentation.source var/docs/source
	@cd var/docs/source && NO_MKDOCS_2_WARNING=1 $(CURDIR)/$(DOCS)/bin/mkdocs --quiet build --strict --clean
	@$(PYTHON) -m documentation.links var/docs/site

compatibility: installed-dev ## record which of OpenAI's operations and properties the tests exercise; HOLDFAST_SPEC=FOLDER
	@exec $(PYTHON) -m pytest $(TWO) -p documentation.recording \
		-m "not slow and not gateways and not r2r and not mcp and not searxng and not chaos and not sandbox and not browser"
	@exec $(PYTHON) -m documentation.results

drill-secrets: installed-dev ## every secret is changed under load; nobody may notice; four minutes
	@exec $(PYTHON) -m drills.rotating_secrets

check: installed-dev ## format, lint, import contracts, types, missing migrations
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(VENV)/bin/lint-imports
	$(PYTHON) -m mypy .
	$(PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

fix: installed-dev ## format, and repair what the linter can repair
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

vendor: installed ## copy anew what the playground uses of others, in the versions of its lock file; needs npm
	@exec $(PYTHON) -m assistant_site.playground.vendoring

lock: installed-dev ## pin the newest allowed versions in requirements*.txt
	$(PIP) install --root-user-action=ignore pip-tools
	$(LOCK) --upgrade --output-file=requirements.txt requirements.in
	$(LOCK) --upgrade --output-file=requirements-dev.txt --constraint=requirements.txt requirements-dev.in
	$(LOCK) --upgrade --output-file=sandbox/requirements.txt sandbox/requirements.in
	@# redis needs it on older Pythons than the one that locks; Debian 12 has such a one.
	@for f in requirements.txt requirements-dev.txt; do \
		echo 'async-timeout==5.0.1 ; python_full_version < "3.11.3"' >> $$f; done
	$(LOCK) --upgrade --output-file=requirements-gateways.txt requirements-gateways.in
	$(LOCK) --upgrade --output-file=requirements-mcp.txt requirements-mcp.in
	$(LOCK) --upgrade --output-file=requirements-docs.txt requirements-docs.in
	$(LOCK) --upgrade --output-file=requirements-clients.txt requirements-clients.in

# .venv/made and the copies of the requirement files are written last, so whatever was cut short is done again. The
# files' texts are compared, not their dates: changing branches back and forth installs nothing.
venv:
	@if [ -e $(VENV)/made ] && $(PYTHON) -c "" 2>/dev/null; then exit 0; fi; \
	for python in python3.11 python3 python3.12 python3.13; do \
		if $$python -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Holdfast needs Python 3.11 or newer, and there is none here (Debian 12: apt-get install python3 python3-venv)." >&2; \
		exit 1; \
	fi; \
	if ! $$found -c "import ensurepip, venv" 2>/dev/null; then \
		echo "Python's module venv is not complete here. Install it (Debian, Ubuntu: apt-get install python3-venv)." >&2; \
		exit 1; \
	fi; \
	umask 022; \
	rm -rf $(VENV) && $$found -m venv $(VENV) && touch $(VENV)/made

installed: venv
	@cmp -s requirements.txt $(VENV)/requirements.txt && exit 0; \
	echo "Installing what Holdfast needs into $(VENV) (only this once; about a minute) ..."; \
	umask 022; \
	$(PIP) install --root-user-action=ignore -r requirements.txt && cp requirements.txt $(VENV)/requirements.txt

installed-dev: venv
	@cmp -s requirements-dev.txt $(VENV)/requirements-dev.txt && cmp -s requirements.txt $(VENV)/requirements.txt && exit 0; \
	echo "Installing what Holdfast and its tests need into $(VENV) (only this once; about a minute) ..."; \
	umask 022; \
	$(PIP) install --root-user-action=ignore -r requirements.txt -r requirements-dev.txt \
		&& cp requirements.txt requirements-dev.txt $(VENV)/
