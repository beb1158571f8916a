defmodule Foundation.BEAM.Topology do
  @moduledoc """
  Who is next to whom in an ecosystem, and by whom a message goes from one member to another.

  | topology | neighbours | a message from worker to worker | choose it when |
  |---|---|---|---|
  | `:tree` (the default) | the coordinator and each worker | by the coordinator | one process decides who does what |
  | `:mesh` | everybody and everybody else | straight | members find each other, and none may be a bottleneck |
  | `:ring` | predecessor and successor | from successor to successor | work goes round in one order, or one at a time may act (`Foundation.BEAM.Topology.Token`) |

  All of it is functions of a list of members: no process is asked, nothing is kept. A member is
  named by its role, `:coordinator` or `{:worker, n}`, which a member that comes back after a crash
  keeps; the list is in the order of `order/1`. A member that is not in the list is gone, and what
  goes by it finds another way where the topology has one: the ring closes over it, a tree without
  coordinator has no routes.

  This is the behaviour; `Foundation.BEAM.Topology.Router` has the same functions by a topology's name.
  """

  @typedoc "What a member is in its ecosystem; `n` counts from 1."
  @type role :: :coordinator | {:worker, pos_integer()}

  @typedoc "The living members, each once, in the order of `order/1`."
  @type members :: [role()]

  @type name :: :tree | :mesh | :ring

  @doc "The members next to one, none where it is alone or no member."
  @callback neighbours(members(), role()) :: [role()]

  @doc """
  The way from one member to another, both in it, each member next to the one before; `:error` where
  there is none. From a member to itself it is that member.
  """
  @callback route(members(), from :: role(), to :: role()) :: {:ok, [role(), ...]} | :error

  @doc "The second member of that way: where a message goes next; `:error` also for a member itself."
  @callback next_hop(members(), from :: role(), to :: role()) :: {:ok, role()} | :error

  @doc """
  To whom member `at` passes on what member `origin` tells all: each other member that can be reached
  gets it once.
  """
  @callback forward(members(), origin :: role(), at :: role()) :: [role()]

  @doc """
  Roles as a list of members: the coordinator first, then the workers by number, each once.

      iex> Foundation.BEAM.Topology.order([{:worker, 10}, {:worker, 9}, :coordinator, {:worker, 9}])
      [:coordinator, {:worker, 9}, {:worker, 10}]
  """
  # An atom comes before a tuple, and tuples are compared by their elements.
  @spec order([role()]) :: members()
  def order(roles), do: :lists.usort(roles)
end
