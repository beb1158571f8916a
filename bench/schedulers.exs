# What the Schedulers module brings beside plain Elixir and OTP, and what it costs.
#
#     mix run bench/schedulers.exs                  # all sections
#     mix run bench/schedulers.exs cpu balance      # some
#
# Sections: cpu, balance, utilization. Each has a file in `bench/schedulers/`, which says
# what it compares.
#
# Candidates take turns; figures are medians of the rounds. A ratio is the time of the best rival over
# ours, unless the section says otherwise.

for file <-
      ~w(support/bench schedulers/lateness schedulers/cpu
               schedulers/balance schedulers/utilization) do
  Code.require_file("#{file}.exs", __DIR__)
end

defmodule Bench.Schedulers do
  @sections [
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
