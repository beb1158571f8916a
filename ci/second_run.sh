#!/usr/bin/env bash
# After bin/test: doing it again installs, downloads and builds nothing.
source "$(dirname "${BASH_SOURCE[0]}")/../bin/env.sh"

output=$(
  bin/setup 2>&1
  env MIX_ENV=test mix compile 2>&1
  cargo test --workspace --locked --offline --no-run 2>&1 | grep -E '^ *(Compiling|Downloading|Updating)' || true
)

if [ -n "$output" ]; then
  printf 'A second run should have nothing to do, but it said:\n%s\n' "$output" >&2
  exit 1
fi
