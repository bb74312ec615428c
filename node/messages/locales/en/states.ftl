### The states of a node, of a stream and of the link to the parent; why an answer lacks a site.

role-leader = leader
role-follower = follower
role-candidate = candidate
role-learner = learner
role-stopped = stopped

stream-own = own
stream-following = following
stream-transferring = transferring
stream-stopped = stopped: { $reason } at batch { $seq }

uplink-root = root
uplink-follower = follower
uplink-starting = starting
uplink-connecting = connecting
uplink-connected = connected
uplink-down = down: { $failure }

parked-parked = origin { $origin }: { $reason }
parked-parent_ahead = origin { $origin }: the parent holds more of it, up to { $cursor }

missing-first_transfer =
    its first whole transfer is under way: { $rows ->
        [one] { $rows } row
       *[other] { $rows } rows
    } of origin { $origin } so far; see `kho status`
missing-nothing_entered = nothing was entered under origin { $origin } yet
missing-nothing_arrived = nothing of origin { $origin } has arrived yet; see `kho status` at that site
missing-empty = origin { $origin } is empty up to { $up_to }: nothing was entered there yet
missing-stopped = origin { $origin } is stopped at { $seq } ({ $reason }); run `kho verify`, then `kho origin resume`
missing-no_head = no signed head of origin { $origin } is held
missing-no_stream = it authors no stream
