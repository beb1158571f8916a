#!/usr/bin/env bash
# The tests and the documentation on Debian 13 (Elixir 1.18, OTP 27), where there is no Rust: the
# library is the one built here. The Debian 13 root is made once and kept.
source "$(dirname "${BASH_SOURCE[0]}")/../bin/env.sh"

packages=elixir,erlang-dev,erlang-proper,elixir-ex-doc,git,lz4
cache="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/foundation"
root="$cache/debian-13"

if [ "$EUID" -ne 0 ]; then
  echo "ci/debian13.sh makes and enters a Debian root, which only root may do." >&2
  exit 1
fi

# Where this machine gets its own Debian from: the archive of the release that it runs.
mirror() {
  local release
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016 # apt-get's own variables
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="$release" '$1 == release { print $2; exit }'
}

make_root() {
  local log="$root.log" proxy=
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  [ -z "$proxy" ] || export http_proxy="$proxy"

  echo "Making a Debian 13 root in $root"
  rm -rf --one-file-system "$root"
  if ! debootstrap --variant=minbase --include="$packages" trixie "$root" "$(mirror)" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    exit 1
  fi
  rm -rf "$root"/var/cache/apt/archives/*.deb
  echo "$packages" >"$root/complete"
}

# What git knows of, and what it would: no builds, nothing ignored.
copy_tree() {
  rm -rf "$root/foundation"
  mkdir "$root/foundation"
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar --create --null --files-from=- | tar --extract --directory "$root/foundation"
}

# /proc is for this command only, and goes with it. A sandbox that refuses it does without.
enter() {
  local inside=(chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
    FOUNDATION_NIF_PATH=/foundation_nif.so sh -euc "$1")
  # shellcheck disable=SC2016 # the inner shell's own variables
  if unshare --mount true 2>/dev/null; then
    unshare --mount sh -c 'mount -t proc proc "$0/proc" 2>/dev/null || true; exec "$@"' \
      "$root" "${inside[@]}"
  else
    "${inside[@]}"
  fi
}

mkdir -p "$cache"
exec 9>"$root.lock"
flock 9

[ "$(cat "$root/complete" 2>/dev/null)" = "$packages" ] || make_root
copy_tree
cargo build --release --locked --package foundation_nif
cp "$CARGO_TARGET_DIR/release/libfoundation_nif.so" "$root/foundation_nif.so"
# Nodes on this machine find each other by its name.
echo "127.0.0.1 localhost $(uname -n)" >"$root/etc/hosts"

enter 'cd /foundation
  elixir --version
  mix test --warnings-as-errors --exclude cargo
  mix compile
  # ExDoc ends well whatever it warns of, so what it says is what counts.
  mix docs --formatter html >docs.log 2>&1 || { cat docs.log; exit 1; }
  cat docs.log
  if grep -q "warning:" docs.log; then exit 1; fi
  test -s doc/readme.html -a -s doc/changelog.html'
