# The manual: `make help`. One lab by default; another beside it: `make up SLIPWAY_LAB=other`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export SLIPWAY_LAB ?= lab
export PATH := $(CURDIR)/.venv/bin:$(PATH)
ENV ?= lab
PLAY := ansible-playbook -l $(ENV)
CORE := plugins/module_utils/_core plugins/plugin_utils

.PHONY: help drill setup up down deploy rollback scale check status health logs history slo backup verify test lint unit playbooks system integration production docs

help: ## Show this help
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo 'ENV=production makes a target about that environment; without it, it is about the lab.'

setup: ## Install the control node's own tools into .venv
	@scripts/setup

up: setup ## Bring up the lab, deploy the reference stack, print its addresses
	@lab/lab up
	@$(PLAY) deploy.yml
	@lab/lab urls

down: ## Remove the lab: hosts, volumes, network, state (images stay cached)
	@lab/lab down

deploy: setup ## Deploy ENV (default: lab)
	@$(PLAY) deploy.yml

rollback: setup ## Return to the release before: make rollback [TO=<id>]
	@$(PLAY) playbooks/rollback.yml $(if $(TO),-e to=$(TO))

scale: setup ## Other numbers of replicas on each host, until the next deployment: make scale S=api N=4
	@$(PLAY) playbooks/scale.yml -e '{"replicas": {"$(S)": $(N)}}'

check: setup ## Say what a deployment of ENV would change, and change nothing
	@$(PLAY) deploy.yml --check --diff

status: setup ## One table of every component and service on every host
	@$(PLAY) playbooks/status.yml

health: setup ## The same, and fail when anything is not healthy
	@$(PLAY) playbooks/health.yml

logs: setup ## What was said on all hosts, by time: make logs C=api [N=50] [SINCE=15m] [HAS=…]; in a store also ID=…, RELEASE=…, HOST=…, BEFORE=…, AUDIT=true
	@$(PLAY) playbooks/logs.yml -e lines=$(or $(N),50) $(if $(C),-e component=$(C)) $(if $(SINCE),-e since=$(SINCE)) $(if $(BEFORE),-e before=$(BEFORE)) \
	  $(if $(HAS),-e '{"contains": "$(HAS)"}') $(if $(ID),-e request=$(ID)) $(if $(RELEASE),-e release=$(RELEASE)) $(if $(HOST),-e host=$(HOST)) \
	  $(if $(AUDIT),-e audit=$(AUDIT)) $(if $(STORE),-e store=$(STORE))

drill: setup ## Hurt the lab on purpose and measure RTO and RPO: make drill D=primary_kill
	@$(PLAY) playbooks/drill.yml -e drill=$(D)

history: setup ## What was released when, and how it went: make history [N=20] [ID=…] [FORMAT=json] [FILE=…]
	@$(PLAY) playbooks/history.yml -e limit=$(or $(N),20) -e format=$(or $(FORMAT),table) $(if $(ID),-e id=$(ID)) $(if $(FILE),-e file=$(FILE))

slo: setup ## What services promise, how they keep it, what is left of their error budgets
	@$(PLAY) playbooks/slo.yml

backup: setup ## Take a backup of PostgreSQL now: make backup [TYPE=full|diff|incr]
	@$(PLAY) playbooks/backup.yml $(if $(TYPE),-e type=$(TYPE))

verify: setup ## Prove the newest backup: restored where nobody sees it, started, searched, asked your questions
	@$(PLAY) playbooks/verify_backups.yml

lint: setup ## ansible-lint, ruff, mypy, yamllint, shellcheck
	@scripts/lint

unit: setup ## Tests of the core, the renderings and the reference application: no Docker, no network
	@pytest
	@pytest apps/wayfare/tests/unit

playbooks: setup ## Every kind of bad input, with the real ansible-playbook: refused, and no host contacted
	@pytest tests/playbooks

system: ## Tests from outside, on a lab of their own
	@scripts/setup --browser
	@scripts/system-test

# Most of their time these wait for containers: two files side by side.
integration: setup ## Tests of the parts, in the images that were built here last (make up), without a lab
	@scripts/setup --browser
	@scripts/pytest-no-skips -v -n 2 --dist loadfile -m 'not by_hand' tests/integration

production: setup ## The user's own case: three bare machines, inventories/production, the literal command
	@scripts/production-test

# A lab on which releases are timed and hosts are hurt needs the machine for itself; the rest is done side by side.
# Only what is short keeps its output together: of the last two, which take ten minutes, each line is to be seen at once.
test: ## Everything
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=line lint unit playbooks
	@$(MAKE) --no-print-directory system
	@$(MAKE) --no-print-directory --jobs=2 integration production

docs: setup ## Generate docs/reference from the schema, the roles and the modules
	@scripts/generate_reference.py
