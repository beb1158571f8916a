# Messages: other nodes, and a process that keeps a whole scheduler.
Foundation.Peer.start_distribution!()
one_scheduler = if :erlang.system_info(:schedulers_online) < 2, do: [:two_schedulers], else: []

# Long enough for a machine that does other work as well.
ExUnit.start(exclude: one_scheduler, assert_receive_timeout: 2000)
