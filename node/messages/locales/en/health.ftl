### Whether a node is healthy, or the first thing that is wrong.

health-healthy = healthy
health-no_register = no register: give the site one with `kho register apply`
health-removed = removed: this node is no member of its site any more, by the log of node { $by }. Stop it; a fresh node joins under a new id with `kho node add`
health-key_not_in_register = this node never leads: its signing key is not in the register, or was revoked. Add its card with `kho register add-node`, issue the register and give it to this node with `kho register apply`; if the key was revoked, replace the node
health-no_leader = no leader: a majority of the site's nodes must run and reach each other
health-leader_unreachable =
    node { $leader } leads the site and reaches this node, but this node has not reached it at { $address } for { $silent_seconds ->
        [one] { $silent_seconds } second
       *[other] { $silent_seconds } seconds
    }: nothing can be entered or read strictly through this node. If the leader has moved, name its new address in `addresses` of its khod.toml and start khod there again; otherwise look at the network between them
health-no_majority =
    no majority: no majority of the site's nodes has answered for { $silent_seconds ->
        [one] { $silent_seconds } second
       *[other] { $silent_seconds } seconds
    }
health-heads_still =
    the heads of origin { $origin } do not move: the newest is { $age_seconds ->
        [one] { $age_seconds } second
       *[other] { $age_seconds } seconds
    } old
health-parent_cursor_still =
    the parent's cursor of origin { $origin } does not move: { $lag_batches ->
        [one] { $lag_batches } batch waits
       *[other] { $lag_batches } batches wait
    } for { $lag_seconds ->
        [one] { $lag_seconds } second
       *[other] { $lag_seconds } seconds
    }
health-uplink_down = the link to the parent is down: { $failure }
health-finding_stands = { $finding }
health-alarm_raised = alarm: { $alarm }
