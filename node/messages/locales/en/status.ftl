### What `kho status` prints.

status-heading = { $name } (site { $site }, { $tier }) of tree { $tree }: { $health }
status-answered = answered by node { $node } (khod { $version }) at { $now }, register version { $register }
status-finding = FINDING { $severity }: { $finding }
status-alarm = ALARM { $severity }, { $subject }, since { $since }: { $alarm }

status-this-node = this node: { $role }; { $leader }, term { $term }, log { $log }, applied { $applied }, log snapshot { $snapshot }
status-leader = leader { $node }
status-no-leader = no leader
status-column-node = node
status-column-role = role
status-column-quic = QUIC
status-column-https = HTTPS
status-column-behind-leader = behind the leader

status-member-leader = leader
status-member-voter = voter
status-member-learner = learner

status-member-silent = unknown, silent for { $age }

status-no-stream = no stream is held yet
status-column-origin = origin
status-column-author = author
status-column-state = state
status-column-last-batch = last batch
status-column-rows = rows
status-column-complete-up-to = complete up to
status-column-age = age
status-column-lag = lag
status-column-kept = kept
status-column-digest = digest
status-lag-batches =
    { $batches ->
        [one] { $batches } batch
       *[other] { $batches } batches
    }
status-lag-batches-and-age =
    { $batches ->
        [one] { $batches } batch
       *[other] { $batches } batches
    }, { $age }

status-uplink = uplink: { $state }
status-uplink-parent = uplink: { $state } to site { $parent }
status-uplink-stand-in = uplink: { $state } to site { $parent } (a stand-in)
status-parked = parked: { $stream }

status-column-child = child
status-column-site = site
status-column-connected = connected
status-column-last-heard = last heard
status-yes = yes
status-no = no

status-disk = disk: { $free } free of { $total }; log { $log }; { $spaces }

status-seconds = { $count } s
status-minutes = { $count } min
status-hours = { $count } h
status-days =
    { $count ->
        [one] { $count } day
       *[other] { $count } days
    }

tier-commune = commune
tier-district = district
tier-province = province
tier-region = region
tier-central = central
