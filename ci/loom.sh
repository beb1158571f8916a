#!/usr/bin/env bash
# Runs the models of the concurrent protocols in `foundation_core` through every order of events.
# Built apart from everything else: the flag changes every crate's fingerprint.
set -euo pipefail
cd "$(dirname "$0")/.."

RUSTFLAGS="--cfg loom" exec cargo test --locked --release --package foundation_core \
  --test loom --target-dir target/loom -- "$@"
