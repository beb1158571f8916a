#!/usr/bin/env bash
# Dialyzer on the library's own modules. What it knows of OTP and Elixir is kept between runs.
source "$(dirname "${BASH_SOURCE[0]}")/../bin/env.sh"

read -r otp elixir libraries < <(
  elixir -e 'IO.puts([System.otp_release(), " ", System.version(), " ", Path.expand("..", :code.lib_dir(:elixir))])'
)
cache="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/foundation"
plt="$cache/otp-$otp-elixir-$elixir.plt"
mkdir -p "$cache"

# Elixir's own modules turn the debug information of its beam files into what Dialyzer reads.
if ! [ -e "$plt" ]; then
  echo "Analysing OTP and Elixir once, for $plt"
  # It ends with 2 for what it does not know in there, which is no concern of ours.
  dialyzer -pa "$libraries/elixir/ebin" --build_plt --output_plt "$plt.new" \
    --apps erts kernel stdlib crypto -r "$libraries/elixir/ebin" "$libraries"/{logger,mix}/ebin \
    >"$plt.log" || [ $? -eq 2 ] || { cat "$plt.log" && exit 1; }
  mv "$plt.new" "$plt"
fi

mix compile
dialyzer -pa "$libraries/elixir/ebin" --plt "$plt" -Wextra_return -Wmissing_return \
  -r "_build/${MIX_ENV:-dev}/lib/foundation/ebin"
