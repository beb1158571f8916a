defmodule Foundation.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :foundation,
      version: @version,
      elixir: "~> 1.14",
      compilers: Mix.compilers() ++ [:foundation_nif],
      elixirc_paths: elixirc_paths(Mix.env()),
      elixirc_options: [no_warn_undefined: [:telemetry]],
      start_permanent: Mix.env() == :prod,
      deps: [],
      # Read by `mix docs`, wherever ExDoc is installed.
      docs: [
        main: "readme",
        extras:
          ["README.md", "CHANGELOG.md", "BENCHMARKS.md", "LICENSE"] ++
            Path.wildcard("guides/*.md"),
        # Named in the guides, and documented in their files only.
        skip_code_autolink_to: [
          "Foundation.BEAM.Memory.Atoms",
          "Foundation.BEAM.Schedulers.Slots",
          "Foundation.Janitor",
          "Foundation.Native",
          "Foundation.Options",
          "Foundation.Telemetry.Dispatch",
          "Foundation.Telemetry.Handlers",
          ":erts_debug.flat_size/1"
        ]
      ],
      description:
        "Concurrency for the BEAM: shared terms, measured messages, LZ4, native memory in bounds",
      package: [
        licenses: ["Apache-2.0"],
        files: ~w(lib native mix.exs Cargo.toml Cargo.lock README.md CHANGELOG.md LICENSE)
      ]
    ]
  end

  # `:telemetry` is used where the user's application brings it; nothing here needs it. (Elixir 1.14
  # drops what is optional; `Foundation.Telemetry` does not rely on the order of starting.)
  # Elixir 1.15 and newer take from the code path whatever is not named here.
  def application do
    [
      mod: {Foundation.Application, []},
      extra_applications: [:logger, telemetry: :optional] ++ test_applications(Mix.env())
    ]
  end

  defp test_applications(:test), do: [:crypto, :proper, :runtime_tools, :tools]
  defp test_applications(_env), do: []

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]
end
