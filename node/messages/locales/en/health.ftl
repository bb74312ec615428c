### Whether a node is healthy, or the first thing that is wrong.

health-healthy = healthy
health-no_register = no register: give the site one with `kho register apply`
health-no_leader = no leader: a majority of the site's nodes must run and reach each other
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
