### What happened, and what to do.

severity-notice = for information
severity-warning = warning
severity-critical = critical

about-this_node = this node
about-member = node { $node }
about-origin = origin { $origin }
about-child = child { $site }
about-parent = parent { $site }

alarm-disk_low = { $free_mib } MiB are free on the disk of { $folder }: segments of children are refused until { $reserve_mib } MiB are free again
alarm-disk_full = { $free_mib } MiB are free on the disk of { $folder }: entry is refused too until { $reserve_mib } MiB are free again
alarm-disk_unreadable = the free space of { $folder } can't be read: { $error }
alarm-storage_failed = { $error }
alarm-member_silent = node { $node } of the site takes no entries; look at it, or replace it with `kho node remove` and `kho node add`
alarm-member_unreachable =
    node { $node } of the site, recorded at { $address }, has not answered this node for { $silent_seconds ->
        [one] { $silent_seconds } second
       *[other] { $silent_seconds } seconds
    } ({ $error }). See whether khod runs there and the network lets UDP through. If the node has moved, name its new address in `addresses` of khod.toml, there and here, and start khod again; if it is lost, replace it with `kho node remove` and `kho node add`
alarm-node_unconfirmed = node { $node } acts as a member of the site, and none of the members known here confirms it: it is refused. If it was added while this node was away, run `kho node confirm { $node }` at this node; if not, find out who runs it
alarm-heads_refused = the site refuses the heads of origin { $origin } that this node signs ({ $reason }); compare its signing key with `kho register show`
alarm-clock_ahead =
    heads of origin { $origin } are stamped more than { $minutes_max ->
        [one] { $minutes_max } minute
       *[other] { $minutes_max } minutes
    } ahead of this node's clock: its rows are held, but do not count as complete up to any newer time; set the clocks right
alarm-machine_clock_ahead = this machine's clock shows { $machine }, but nothing says that it is later than { $expected }: new heads and batches are stamped by that. Set the clock; if it is right, run `kho site confirm-time`
alarm-machine_clock_behind = this machine's clock shows { $machine }, but by what the site committed or its parent says it is { $expected }. Set the clock; if it is right, run `kho site confirm-time`, and look at the parent's clock
alarm-segment_refused = a segment of origin { $origin }, carried by site { $carrier }, was refused: { $reason }
alarm-child_misbehaved = site { $child } broke the protocol ({ $reason }); its connection was closed. Look at it with `kho status`
alarm-outcome_out_of_place = this site answered { $frame } of site { $child } with an outcome that does not belong to it; report this defect
alarm-evidence_folder_full = { $folder } is full; review what is in it and clear it
alarm-evidence_not_kept = refused bytes could not be kept in { $folder }: { $error }
alarm-parent_misbehaved = parent { $parent } broke the protocol ({ $reason }); the link was ended. Look at the parent with `kho status`
alarm-stream_refused = parent { $parent } refuses origin { $origin }: { $reason }
alarm-no_common_cursor = parent { $parent } and this site find no cursor from which origin { $origin } can go on: { $reason }
alarm-parent_went_back = parent { $parent } stands at { $now } of origin { $origin }, it acknowledged { $before } before: it was restored to an older state; everything since is sent again
alarm-site_behind_parent = parent { $parent } stands at { $claimed } of this site's own origin { $origin }, but the site only at { $held }: the site was set back: entry is closed; see `kho fork list` for what to do
alarm-members_set_back = the log of the leader, node { $leader }, contradicts what was committed and stands on this node: the other nodes of the site were set back to an older state. This node takes nothing of it. Keep its disk, it holds what they lost; see `kho fork list` at the leader
alarm-head_unanswered = for { $seconds } s no majority of the site's nodes has said what it computed at the newest head of origin { $origin }, and none contradicts it. Entries are taken, but no head is committed and nothing new goes up. See `kho status` at each node: start those that are down, give those that are far behind time or a faster disk
alarm-nodes_disagree = these nodes of the site computed something else than this leader: { $nodes }. No majority says who is right, so no head is committed. Start the other nodes of the site; if all run, `kho verify` at each node shows whose disk is damaged: remove that node with `kho node remove`
alarm-child_set_back = site { $child } stands at { $held } of its own origin { $origin }, or in another history of it, and this site at { $here }: that site was set back, or runs twice. Nothing of that history is taken. See `kho fork list` there; a bundle exported here brings back what it lost
alarm-epochs_differ = parent { $parent } holds epoch { $theirs } of origin { $origin }, this site epoch { $ours }; see `kho fork list`
alarm-stream_unreadable = origin { $origin } can't be read for the parent: { $error }; run `kho verify`
alarm-frame_not_sent = a frame for the parent can't be sent: { $error }; report this defect
alarm-register_refused = the parent handed down a register that is refused: { $error }
alarm-register_doubled = two registers were signed under version { $version }: this site holds the one of hash { $held } and was given one of hash { $given }, which is refused. Find out who signed both; the next register needs a higher version
alarm-child_register_differs = site { $child } says that it holds another register of version { $version } than this site: hash { $held }, here { $here }. Compare both with `kho register show --text`; a register of a higher version ends it
