# Sourced by the scripts here, in ci/ and in .ci/: one folder, one Rust build, one locale for all.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The builds of dev, test and cargo itself share what they compile.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

# Where rustup puts it; a shell that is not a login shell need not know.
command -v cargo >/dev/null || PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"

# Elixir complains of any other encoding.
case "${LC_ALL:-${LC_CTYPE:-${LANG:-}}}" in
  *UTF-8 | *utf8) ;;
  *) export LC_ALL=C.UTF-8 ;;
esac
