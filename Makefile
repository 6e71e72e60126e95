# Needs make and Python 3.11 or newer. Everything else comes from package registries into .venv and .cache.

PYTHON ?= python3

# Some shells export a variable SECONDS, so only the one on make's command line counts.
DURATION = $(if $(findstring command line,$(origin SECONDS)),--seconds $(SECONDS))

ENVIRONMENT = .venv/.installed
NATIVE = .venv/.native
RUN = .venv/bin/
SOURCES = cdc_sidecar client/cdc_sidecar_client examples tests benchmarks deploy/image deploy/monitoring

# Some environments set it. Each of the thousand processes that the tests start would then compile the
# whole package, which takes a third of its start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo lint prepare check test test-long test-versions interop deploy-test monitoring-test browser-test screenshots sanitize
.PHONY: soak bench image-test image-lock clean

help:
	@echo 'make demo [SECONDS=20]   a small shop whose changes reach Kafka exactly once, on real servers'
	@echo 'make check               linters, types, import contracts and unit tests, as CI runs first'
	@echo 'make test                linters and every test'
	@echo 'make browser-test        the status page in chromium, which is installed where apt-get can'
	@echo 'make screenshots         the pictures of the status page in docs/img'
	@echo 'make test-long           every test in full: hours'
	@echo 'make test-versions       the core of the tests on Postgres 14 to 18, Kafka 3.3 to 4.3 and other Pythons: an hour'
	@echo 'make interop             programs of others read our topics: downloads 300 MB, once'
	@echo 'make deploy-test         the manifests of deploy/, with kubectl, helm and others: 60 MB, once'
	@echo 'make monitoring-test     every alert fires in a real Prometheus: 10 minutes; downloads 30 MB, once'
	@echo 'make sanitize            tests of the compiled code under AddressSanitizer (needs gcc)'
	@echo 'make soak [SECONDS=60] [SEED=7]'
	@echo '                         random changes, kills and cuts of the network, as long as you like'
	@echo 'make bench [QUICK=1]     the speed compared with pg_recvlogical and Debezium: 40 minutes, or 5'
	@echo 'make image-test          the image is built and run, with tools from Debian packages (as root)'
	@echo 'make image-lock          renew the hashes of what the image installs'
	@echo 'make clean               remove the files of all other targets: .venv, .cache, scratch folders'
	@echo 'PYTHON=python3.13        the interpreter of .venv'

demo: $(NATIVE)
	@$(RUN)cdc-sidecar demo $(DURATION)

check: lint
	@$(RUN)pytest tests/unit

# Five processes, each with one file at a time: the tests mostly wait for servers. The longest files
# come first (tests/conftest.py).
test: $(NATIVE)
	@$(MAKE) --no-print-directory --jobs 2 lint prepare
	@$(RUN)pytest --numprocesses 5 --dist loadfile --no-loadscope-reorder

# Debian's chromium; elsewhere, and without the right to install, the tests say what is missing.
browser-test: prepare
	@command -v chromedriver > /dev/null || apt-get install -y --no-install-recommends chromium chromium-driver || true
	@$(RUN)pytest tests/acceptance/test_status_page.py

screenshots: prepare
	@$(RUN)python -m tests.acceptance.screenshots

# One process, because sizes and times are measured.
test-long: lint
	@CDC_SIDECAR_LONG=1 $(RUN)pytest --timeout 7200
	@CDC_SIDECAR_LONG=1 $(RUN)pytest --timeout 7200 tests/monitoring

# AXIS=servers or AXIS=pythons takes one part of it.
test-versions: $(NATIVE)
	@$(RUN)python -m tests.versions $(AXIS)

# Kafka Connect with Confluent's converter and Debezium's sink, beside a second database.
interop: lint
	@$(RUN)pytest tests/interop

# Buildah, Podman and the base images come from Debian packages. It needs root, and 3 GB for a while.
image-test: $(NATIVE)
	@$(RUN)pytest -s --timeout 1800 tests/image

# After constraints.txt has changed, or to renew what writes the bill of materials.
PIN = build/uv/bin/uv pip compile --quiet --native-tls --upgrade --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --python-platform linux \
	--custom-compile-command 'make image-lock'
image-lock:
	@$(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet --disable-pip-version-check uv
	@$(PIN) pyproject.toml -c constraints.txt --python-version 3.11 -o deploy/image/requirements.txt
	@printf 'cython\nsetuptools\n' | \
		$(PIN) - -c constraints.txt --python-version 3.11 -o deploy/image/build.txt
	@echo cyclonedx-bom | $(PIN) - --python-version 3.13 -o deploy/image/sbom.txt

# The tools go to .cache/tools. `make test` uses them too if they are there.
deploy-test: $(NATIVE)
	@$(RUN)python -m tests.deploy.tools
	@CDC_SIDECAR_LONG=1 $(RUN)pytest tests/deploy

# Debian's packages of Prometheus and Alertmanager, unpacked into .cache/monitoring-tools. `make test` uses
# them too if they are there.
monitoring-test: $(NATIVE)
	@$(RUN)python -m tests.monitoring.tools
	@$(RUN)pytest -s tests/monitoring

# In a copy, so that the slow code is not used later. Python allocates with malloc, so that the sanitizer
# knows the end of each frame.
SANITIZED = build/sanitize
sanitize: $(NATIVE)
	@rm -rf $(SANITIZED) && mkdir -p $(SANITIZED)
	@cp -r setup.py pyproject.toml README.md LICENSE cdc_sidecar tests $(SANITIZED)
	@rm -f $(SANITIZED)/cdc_sidecar/events/*.so
	@cd $(SANITIZED) && CFLAGS=-fsanitize=address $(CURDIR)/$(RUN)python setup.py -q build_ext --inplace
	@cd $(SANITIZED)/cdc_sidecar/events && ls _transcode.*.so _transaction.*.so _envelope.*.so _outbox.*.so _payload.*.so
	@cd $(SANITIZED) && LD_PRELOAD=$$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \
		PYTHONMALLOC=malloc $(CURDIR)/$(RUN)python -m pytest tests/unit/test_twins.py tests/unit/test_transcode*.py tests/unit/test_payload*.py tests/unit/test_outbox*.py

soak: $(NATIVE)
	@$(RUN)python -m tests.acceptance.soak $(DURATION) $(if $(SEED),--seed $(SEED))

bench: $(NATIVE)
	@$(RUN)python -m benchmarks $(if $(QUICK),--quick) $(BENCH)

# Each broker of the tests then starts with half the work.
prepare: $(NATIVE)
	@$(RUN)python -m cdc_sidecar.servers prepare

lint: $(NATIVE)
	@echo 'ruff, mypy, import contracts ...'
	@$(RUN)ruff check --quiet .
	@$(RUN)ruff format --quiet --check .
	@$(RUN)mypy $(SOURCES)
	@$(RUN)lint-imports

# Without a C compiler nothing is built, and the plain Python twins are used.
$(NATIVE): $(wildcard cdc_sidecar/events/*.pyx cdc_sidecar/events/*.pxd) setup.py | $(ENVIRONMENT)
	@binaries="*$$($(RUN)python -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')"; \
	for source in $?; do \
		[ -n "$$(find cdc_sidecar/events -name "$$binaries" -newer $$source)" ] && continue; \
		$(RUN)python setup.py -q build_ext --inplace; break; \
	done
	@touch $@

clean:
	-@[ ! -x $(RUN)python ] || $(RUN)python -m cdc_sidecar.servers clean
	@rm -rf .venv .cache .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@rm -rf build dist *.egg-info cdc_sidecar/events/*.c cdc_sidecar/events/*.so
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# An editable installation in the mode `compat` is a line in a file. In the default mode it is code that
# every process imports at its start.
$(ENVIRONMENT): pyproject.toml client/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("cdc-sidecar needs Python 3.11 or newer, this is %s: make PYTHON=..." \
		% sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo 'Making .venv from constraints.txt (half a minute, only this once) ...'
	@[ -x $(RUN)pip ] || $(PYTHON) -m venv .venv
	@$(RUN)python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat \
		-c constraints.txt -e '.[dev]' -e 'client[all]'
	@touch $@
