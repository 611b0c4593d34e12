# Builds, tests and runs bootstash: `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

NODES ?= 2
SEEDS ?= 500
INPUTS ?= 1000000
BOOTS  ?= 3
SUITES ?= bookworm trixie
BIN   := $(or $(CARGO_TARGET_DIR),target)/debug
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bootstash

# All of cargo's work is on the whole workspace: another selection of packages can mean other features
# of the crates below them, and then everything is compiled twice.
CARGO_TEST := cargo test --quiet --workspace
# Integration tests that need nothing installed: all but those named zfs, kill, replication, openzfs, libzetta, capture, images (QEMU), e2e and nova.
PLAIN_TESTS := $(filter-out zfs% kill% replication% openzfs% libzetta% capture% images% e2e% nova%,$(basename $(notdir $(wildcard tests/*.rs */tests/*.rs))))

# The feature, and what to link it with: what is installed (libzfslinux-dev), else what `make openzfs` unpacked.
LIBZETTA := --features bootstash-tests/libzetta
LIBZFS   := $(CACHE)/openzfs/dev/lib
ifneq ($(shell pkg-config --exists libzfs_core 2>/dev/null && echo installed),installed)
LINK     := LIBZFS_CORE_LOOKUP_WITH=link LIBZFS_CORE_LIBDIR=$(LIBZFS) LIBRARY_PATH=$(LIBZFS) LD_LIBRARY_PATH=$(LIBZFS)
endif

.PHONY: help setup images openzfs build man board lint deny deb rpm sbom test test-unit test-units test-package test-alerts sim fuzz test-zfs test-kill test-openzfs test-libzetta test-e2e test-images test-nova test-dashboard test-monitoring demo \
  bench bench-libzetta bench-load bench-images bench-catch-up bench-registrations bench-overlays bench-openzfs bench-multicast bench-micro lab lab-down record-zfs-texts clean clean-images ground stage binaries root

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install missing packages by apt, and list them (root)
	@tests/ground/setup.sh

images: setup ## Build the guest images, unless they are cached
	@tests/ground/images.sh

openzfs: setup ## Build the guest with OpenZFS in its kernel, unless it is cached
	@tests/ground/openzfs.sh

build: setup ## Compile everything, tests included
	@start=$$SECONDS; cargo build --quiet --workspace --all-targets; \
	  echo "build: done in $$((SECONDS - start)) s"

# Packages are made from release binaries, which are there by then: make man FROM=target/release
man: $(if $(FROM),,binaries) ## Write man pages and shell completions into target/man and target/completions
	@rm -rf target/man target/completions
	@for program in bootstash bootstash-registrar bootstash-agent; do $(or $(FROM),$(BIN))/$$program man-pages target/man; done
	@$(or $(FROM),$(BIN))/bootstash completions target/completions
	@echo "man: $$(ls target/man | wc -l) pages in target/man, completions in target/completions"

board: ## Write the Grafana board, packaging/monitoring/board.json, anew
	@tests/ground/board.sh

lint: ## Check format, clippy, shell scripts, file lengths, and which crate imports which
	@cargo fmt --all --check
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@LIBZFS_CORE_LOOKUP_WITH=link cargo clippy --quiet --workspace --all-targets $(LIBZETTA) -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck -S warning -x .ci/run packaging/*.sh packaging/opennebula/{clone,install.sh} tests/ground/*.sh tests/ground/*/*.sh tests/ground/opennebula/{ssh,show,local/*}; \
	  else echo "lint: shellcheck is not installed, shell scripts left out"; fi
	@tests/ground/no-kill-points.sh
	@tests/ground/crate-walls.sh
	@tests/ground/doc-paths.sh
	@find src registrar agent tests -name '*.rs' -exec wc -l {} + | awk '$$2 != "total" && $$1 > 500 \
	  { print "lint: " $$2 " has " $$1 " lines; the limit is 500"; bad = 1 } END { exit bad }'
	@echo "lint: clean"

deny: ## Check what we depend on: licences, sources, double versions, and advisories where they can be had
	@tests/ground/deny.sh

sbom: ## List what each program is made of (SPDX), in target/sbom
	@tests/ground/sbom.sh

test: ground test-unit sim test-zfs test-kill test-openzfs test-libzetta test-units test-alerts test-e2e ## Run every test, set-up included (root)

test-unit: ## Unit tests, and others over fakes: no root, under a minute
	$(CARGO_TEST) --lib --bins $(addprefix --test ,$(PLAIN_TESTS))
	@# That an error without a class does not compile is shown by an example in its documentation.
	cargo test --quiet --package bootstash-base --doc

sim: binaries ## Simulate SEEDS=500 histories of the whole system in virtual time; no root
	@$(BIN)/sim --seeds $(SEEDS)

fuzz: ## Fuzz all readers of untrusted bytes, INPUTS=1000000 each; TARGET= and SEED= select; no root
	FUZZ_INPUTS=$(INPUTS) FUZZ_SEED=$(SEED) FUZZ_NUMBER=$(NUMBER) $(CARGO_TEST) --test fuzz -- --nocapture $(TARGET)

test-zfs: root setup ## Tests over a real ZFS of this machine (root)
	$(CARGO_TEST) --test zfs --test replication

test-kill: root setup ## Kill daemons, programs and ZFS at every step, on a real ZFS of this machine (root)
	@cargo build --quiet --workspace --bins
	$(CARGO_TEST) --test kill

test-openzfs: ground openzfs ## Tests over OpenZFS in the kernel of a guest (root)
	$(CARGO_TEST) --test openzfs -- --test-threads=1 --nocapture

test-libzetta: root openzfs ## The ZFS contract over libzfs_core, with the feature libzetta (root)
	$(LINK) $(CARGO_TEST) $(LIBZETTA) --test libzetta -- --test-threads=1 --nocapture

test-e2e: ground ## Tests with real guests and networks (root)
	$(CARGO_TEST) --test capture
	$(CARGO_TEST) --test e2e -- --test-threads=1

test-units: root setup ## Our packages under a real systemd, in containers: SUITES="bookworm trixie" selects (root)
	@tests/ground/setup.sh debhelper fakeroot
	@tests/ground/test-units.sh $(SUITES)

# Not in `make test`, nor in CI: the guests' disk takes libvirt and a kernel from the network.
test-package: root openzfs ## Our packages as an operator uses them, in guests with libvirt: ROADS="one two" (hosts) selects (root)
	@tests/ground/setup.sh debhelper fakeroot openssh-client:ssh kmod:modinfo
	@tests/ground/test-package.sh $(ROADS)

test-alerts: setup ## Try the alert rules with Prometheus' promtool
	@tests/ground/alerts.sh

deb: setup ## Make the three Debian packages from the release profile, in target/deb, and have lintian look at them
	@tests/ground/setup.sh debhelper fakeroot lintian
	@packaging/deb.sh
	@lintian --allow-root --fail-on error,warning target/deb/*.changes && echo 'deb: lintian has neither errors nor warnings'

rpm: setup ## Make the three RPM packages, in target/rpm, and look at them in a clean root
	@tests/ground/setup.sh rpm
	@packaging/rpm.sh

# Not in `make test`, nor in CI: python3-nova brings some two hundred packages.
test-nova: root setup binaries ## Disks that OpenStack Nova's own code makes, with the libvirt hook (root)
	@tests/ground/setup.sh python3-nova:/usr/lib/python3/dist-packages/nova
	$(CARGO_TEST) --test nova -- --test-threads=1

# Not in `make test`, nor in CI: emulated, an image takes up to an hour.
test-images: root setup ## Boot real images warm on all hardware; TEST=alpine PROFILES=openstack BOOTS=3 REUSE=1 select (root)
	@tests/ground/setup.sh btrfs-progs
	@tests/ground/images.sh --further
	BOOTS=$(BOOTS) PROFILES=$(PROFILES) REUSE=$(REUSE) $(CARGO_TEST) --test images -- --test-threads=1 --nocapture $(TEST)

test-dashboard: root setup binaries ## Look at the dashboard with a real Chromium; pictures in target/dashboard, or PICTURES=DIR (root)
	@tests/ground/setup.sh chromium chromium-driver:/usr/bin/chromedriver python3-selenium:/usr/lib/python3/dist-packages/selenium fonts-dejavu-core:/usr/share/fonts/truetype/dejavu pngquant
	@tests/ground/dashboard.sh $(PICTURES)

test-monitoring: root setup binaries ## Have a real Prometheus read real daemons, and ask it what the board asks (root)
	@tests/ground/setup.sh prometheus
	@tests/ground/monitoring.sh

demo: stage ## Register, replicate and boot real guests, and show it (root)
	@$(BIN)/demo

bench: stage ## Measure registering, replicating and booting, in target/bench/main.json (root)
	@$(BIN)/bench

bench-load: binaries ## Measure the registrar when 200 nodes come back at once, in target/bench/load.json
	@$(BIN)/bench-load

bench-images: binaries ## Measure the registrar's answers for ten thousand images, in target/bench/images.json
	@$(BIN)/bench-images

bench-catch-up: root setup binaries ## Measure how fast a node catches up, over a real ZFS, in target/bench/catch-up.json (root)
	@$(BIN)/bench-catch-up

bench-registrations: root setup binaries ## Measure whether each of COUNT=1000 registrations slows the next, in target/bench/registrations.json (root)
	@$(BIN)/bench-registrations $(COUNT)

bench-overlays: root setup binaries ## Measure how many of COUNT=1000 overlays a node makes a second, in target/bench/overlays.json (root)
	@$(BIN)/bench-overlays $(COUNT)

bench-openzfs: root openzfs binaries ## The same on OpenZFS, in a guest, COUNT=1000 (root)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	  $(BIN)/openzfs-guest run "$$dir" "$$(realpath $(BIN)/openzfs-guest)" registrations $(or $(COUNT),1000)

bench-multicast: root setup binaries ## Measure one delta to 8 nodes by multicast, uftp and HTTP, in target/bench/multicast.json (root)
	@tests/ground/setup.sh uftp ethtool
	@$(BIN)/bench-multicast $(if $(BYTES),--bytes $(BYTES) --copied-bytes $(BYTES))

bench-micro: ## Measure the parts: qcow2, delta, code, NBD (criterion)
	@cargo bench --quiet --package bootstash-disk --package bootstash-delta --package bootstash-multicast

bench-libzetta: root openzfs ## Measure libzfs_core against the program zfs, in a guest (root)
	$(LINK) $(CARGO_TEST) $(LIBZETTA) --test libzetta -- --ignored --nocapture figures

lab: stage ## Start a storage node and NODES=2 compute nodes, and leave them running (root)
	@$(BIN)/lab up --nodes $(NODES)

lab-down: root ## Remove every trace of labs, of crashed ones too (root)
	@[[ -x $(BIN)/lab ]] || cargo build --quiet --workspace --bins
	@$(BIN)/lab down

record-zfs-texts: root openzfs ## Record the error messages of zfs and zpool again, as fixtures (root)
	@cargo build --quiet --package bootstash-tests --bin openzfs-guest
	@tests/ground/record-zfs-texts.sh texts

clean: ## Remove what was compiled
	@cargo clean

clean-images: ## Remove the cached guests and their images
	@rm -rf "$(CACHE)/images" "$(CACHE)/openzfs" "$(CACHE)/systemd" "$(CACHE)/package-guest"

# What tests with real parts need. Images mostly wait for downloads and dpkg, so the compiler runs beside them.
ground: root setup
	@$(MAKE) -j2 images build

# The same without the tests, for demo, bench and lab.
stage: root setup
	@$(MAKE) -j2 images binaries

binaries: setup
	@start=$$SECONDS; cargo build --quiet --workspace --bins; echo "build: done in $$((SECONDS - start)) s"

root:
	@[[ $$(id -u) == 0 ]] || { echo 'This needs root: it makes network namespaces, mounts and ZFS pools. Run:' >&2; \
	  echo '    sudo -E env "PATH=$$PATH" make $(MAKECMDGOALS)' >&2; exit 1; }
