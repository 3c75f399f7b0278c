# Milo Voice. The two commands of a newcomer are `make run` and `make test`; the others are for those who stay.
SHELL := bash
.DEFAULT_GOAL := run
.PHONY: run test setup lint fmt doc bench soak gpu-check clean

TARGET := $(or $(CARGO_TARGET_DIR),target)
MILO := $(TARGET)/release/milo

# Tests load ONNX Runtime into programs of their own: it tells nobody of them either.
export ORT_DISABLE_TELEMETRY := 1

# Installs what is missing, builds, starts on the embedded defaults.
run:
	@deploy/setup.sh run
	@cargo build --release --bin milo
	@exec $(MILO) serve

# Everything CI checks, in one profile: the scenarios run against the same release build that `make run` starts.
test:
	@deploy/setup.sh test
	$(MAKE) --no-print-directory lint doc
	npm --prefix web run --silent check
	deploy/tests.sh

setup:
	@deploy/setup.sh test

lint:
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --config .deny.toml check bans licenses sources; fi

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --document-private-items

fmt:
	cargo fmt --all

# The rows of the README's benchmark table, measured against a Milo that each command starts for itself.
bench:
	@deploy/setup.sh run
	cargo build --release --bin milo
	$(MILO) bench turn
	$(MILO) bench pauses
	$(MILO) bench interruptions
	$(MILO) bench calls
	$(MILO) bench setup --pin --rate 1000
	$(MILO) bench setup
	$(MILO) bench sound
	$(MILO) bench lines --codecs PCMU --codecs opus --codecs G722
	$(MILO) bench clean

# What takes long: thousands of calls, a large call log.
soak:
	@deploy/setup.sh test
	cargo test --release --workspace --lib --tests -- --ignored --test-threads=1

# What a caller waits for the engines on a machine with an NVIDIA card.
gpu-check:
	@deploy/gpu-check.sh

clean:
	cargo clean
