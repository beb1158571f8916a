# Messages: other nodes, and a process that keeps a whole scheduler.
Foundation.Peer.start_distribution!()
one_scheduler = if :erlang.system_info(:schedulers_online) < 2, do: [:two_schedulers], else: []

# Memory: what the kernel says of this VM. A sandbox may have no /proc.
no_proc = if File.exists?("/proc/self/statm"), do: [], else: [:proc]

# Long enough for a machine that does other work as well, or stands still now and then: only what fails
# takes all of it.
ExUnit.start(
  exclude: one_scheduler ++ no_proc,
  assert_receive_timeout: 30_000,
  timeout: 300_000
)
