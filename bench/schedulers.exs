# What the Schedulers module brings beside plain Elixir and OTP, and what it costs.
#
#     mix run bench/schedulers.exs                  # all sections
#     mix run bench/schedulers.exs kernels jobs     # some
#
# Sections: kernels, jobs, cpu, balance, utilization. Each has a file in `bench/schedulers/`, which says
# what it compares; the rivals of kernels are in `bench/schedulers/plain.exs`.
#
# Candidates take turns; figures are medians of the rounds. A ratio is the time of the best rival over
# ours, unless the section says otherwise.

files = ~w(lateness text plain versus kernels jobs cpu balance utilization)

for file <- ["support/bench" | Enum.map(files, &"schedulers/#{&1}")] do
  Code.require_file("#{file}.exs", __DIR__)
end

defmodule Bench.Schedulers do
  @sections [
    kernels: Bench.Schedulers.Kernels,
    jobs: Bench.Schedulers.Jobs,
    cpu: Bench.Schedulers.Cpu,
    balance: Bench.Schedulers.Balance,
    utilization: Bench.Schedulers.Utilization
  ]

  def run([]), do: @sections |> Keyword.values() |> each()
  def run(names), do: names |> Enum.map(&section/1) |> each()

  defp each(modules) do
    IO.puts(
      "#{System.schedulers_online()} schedulers, " <>
        "#{:erlang.system_info(:dirty_cpu_schedulers_online)} dirty CPU schedulers"
    )

    Enum.each(modules, & &1.run())
  end

  defp section(name) do
    Enum.find_value(@sections, fn {known, module} -> "#{known}" == name && module end) ||
      raise ArgumentError,
            "no section #{name}; there are: #{Enum.map_join(@sections, ", ", &elem(&1, 0))}"
  end
end

Bench.Schedulers.run(System.argv())
