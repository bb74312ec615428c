### What stands in the data and calls for an operator: what it is, and what to do.

finding-origin_stopped = origin { $origin } is stopped: { $reason } at batch { $seq }; run `kho verify`, then `kho origin resume`
finding-site_set_back = this site was set back: { $shown_by } showed batch { $shown_seq } of this site's own origin { $origin }, here it stood at batch { $seq }. Entry is closed. Export origin { $origin } from batch { $wanted_from } on at the parent (`kho bundle export --for SITE`) and bring it in here (`kho bundle import`); see `kho fork list`
finding-node_turned_back = node { $node } of the site no longer holds what it had acknowledged: its disk came back older. The others build on it no more; keep its disk, remove it with `kho node remove { $node }` and add a fresh node under a new id
finding-node_diverged = the data on the disk of node { $node } are not those that a majority of the site computed ({ $place }). The node has stopped and takes part no more; keep its disk as evidence, remove it with `kho node remove { $node }` and add a fresh node under a new id with `kho node add`
finding-damage_found = a read found this node's disk damaged at { $found_at }: { $what }. Keep the disk, remove this node with `kho node remove` and add a fresh node under a new id. If the disk was examined and the data are whole, run `kho verify` at this node, then `kho node damage-examined ID --reason TEXT`
finding-proof_failed = the rows of origin { $origin } on this node's disk did not agree with what stands beside them at batch { $seq }, found at { $found_at }; run `kho verify` again
finding-evidence_kept =
    { $pieces ->
        [one] { $pieces } piece of evidence is kept
       *[other] { $pieces } pieces of evidence are kept
    } of origin { $origin }, the first at batch { $first_seq }; see `kho fork list`, and once it is examined run `kho fork review { $origin }`
finding-evidence_reviewed =
    { $pieces ->
        [one] { $pieces } piece of evidence
       *[other] { $pieces } pieces of evidence
    } of origin { $origin }, reviewed by { $by } at { $reviewed_at }, { $pieces ->
        [one] is
       *[other] are
    } kept; see `kho fork list`
finding-refused_bytes_kept =
    { $files ->
        [one] { $files } refused segment
       *[other] { $files } refused segments
    } ({ $bytes } bytes) { $files ->
        [one] is
       *[other] are
    } kept in { $folder }; review the files and take them away
finding-watermark_ahead = origin { $origin } is said to be complete up to { $up_to }, which has not come yet: this machine's clock is behind, or a clock of this site was ahead once. Set the clock; if it is right, run `kho site confirm-time`
finding-child_still =
    nothing newer has come from the child site { $child } for { $minutes ->
        [one] { $minutes } minute
       *[other] { $minutes } minutes
    }: what is held of it is complete up to { $up_to }. See `kho status` there, and the link between the two; when the link stays down, a bundle goes by hand
finding-two_voters = the site has two voters, nodes { $first } and { $second }: it stops when either is lost, so two are no safer than one. Add a third with `kho node add`, or remove one with `kho node remove`
finding-pinned_key_retired = the key that this node's configuration pins ({ $pinned }) signs registers no more. The site goes by its register, which names { $trusted }: write one of these as `key` under `[register]` and restart the node
