### Why something was refused, stopped or failed, as part of another text.

refusal-unknown_origin = the register does not know origin { $origin }
refusal-other_epoch = origin { $origin } stands in epoch { $ours }, the sender's is { $theirs }
refusal-gap = origin { $origin } lacks batches { $wanted } to { $given }
refusal-bad_signature = the head of origin { $origin } at { $seq } is not signed by a key that the register pins
refusal-bad_chain = the batches of origin { $origin } do not lead to the chain hash of the head at { $seq }
refusal-forked = two histories of origin { $origin } differ at { $seq }; the second is kept as evidence: see `kho fork list`
refusal-digest_mismatch = the rows of origin { $origin } at { $seq } do not have the digest that the head claims; none of them is taken and the evidence is kept: see `kho fork list` and run `kho verify`
refusal-stopped = origin { $origin } was stopped at { $seq } ({ $reason }); run `kho verify`, then `kho origin resume`
refusal-malformed = batch { $seq } of origin { $origin } is malformed: { $error }
refusal-register = the register was refused: { $error }
refusal-register_doubled = another register of version { $version } stands: it has the hash { $held }, the one given { $given }
refusal-transfer = the transfer of origin { $origin } does not fit: { $error }
refusal-off_path = the register does not lead the stream of origin { $origin } through site { $site }: only its author and the sites above it hold it
refusal-on_path = the register leads the stream of origin { $origin } through site { $site }: it is not taken out there
refusal-above_level = the command, or a column that it names, exists from level { $command } on and the site works at level { $site }: see `kho upgrade status`, raise the level with `kho upgrade raise`
refusal-column_above_level = batch { $seq } of origin { $origin } names column { $column }, which exists from level { $needed } on, and the site that is to take it works at level { $level }: see `kho upgrade status` there, raise its level with `kho upgrade raise`
refusal-transfer_taken = site { $carrier } transfers origin { $origin } already; another carrier's turn comes when that has ended or fallen silent
refusal-no_register = this site has no register yet; give it one with `kho register apply`

stop-digest_mismatch = digest mismatch

park-forked = the parent holds epoch { $theirs }, this site { $ours }; see `kho fork list`
park-local_storage = reading failed: { $detail }; run `kho verify`
park-no_common_cursor = this site and the parent find no cursor from which the stream can go on: { $cause }

restart-took_less = the parent took less than it was sent
restart-transfer_stalled = the transfer of the whole origin does not advance
restart-trimmed = batches were trimmed before the parent had them
restart-no_such_place = this site has no such place in the stream

outcome-other_outcome = { $detail }

violation-identity_mismatch = it calls itself node { $claimed_node } of site { $claimed_site }, but its certificate names node { $node } of site { $site }
violation-welcome_mismatch = it welcomes as site { $site } at level { $level }
violation-frame_above_level = it sent { $frame }, which does not exist at level { $level }, at which both ends work
violation-frame_out_of_turn = it sent { $frame } out of turn
violation-frame_unreadable = it sent bytes that are not a frame: { $detail }
violation-transport_misused = it broke the rules of the transport: { $detail }
violation-too_many_streams = it requests the cursors of more than { $streams_max } streams at once
violation-frame_id_not_rising = it sent frame { $id } after { $last }
violation-cursor_not_requested = it sent a frame of origin { $origin }, whose cursor it never requested
violation-other_history_acknowledged = it acknowledges { $acknowledged } of origin { $origin }, this site holds { $held }
violation-answer_of_other_origin = it answers { $id } of origin { $origin } with another origin
violation-answer_not_awaited = it answers { $id }, which awaits no answer

link-unreachable = the parent can't be reached: { $detail }
link-dial_refused = the parent refused this node: { $detail }
link-wrong_peer = another than the parent answered: { $detail }
link-connection_lost = the connection was lost: { $detail }
link-send_stalled = the connection is gone or does not drain
link-dial_timed_out = the connection to the parent did not come in time
link-welcome_timed_out = the parent's welcome did not come in time
link-answer_timed_out = an answer of the parent did not come in time
link-ended_by_parent = the parent ended the connection: { $reason }
link-protocol_broken = the parent broke the protocol: { $reason }
link-redirect_loop = the parent's nodes redirect this site to each other

goodbye-stopping = the node stops
goodbye-no_longer_leader = the node no longer leads its site
goodbye-no_leader = the site has no leader at the moment
goodbye-busy = the site has too much to do; come back in { $retry_after_ms } ms
goodbye-no_common_level = no level in common: the site that refuses works at level { $here } and its build supports { $here_supports }, the other at level { $there } and its build supports { $there_supports }; install a newer Kho on the older side, see `kho upgrade status`
goodbye-level_raised = the site works at level { $level } now; the link is opened again
goodbye-not_parent = by the register, version { $register_version }, site { $parent } is not a parent of site { $child }; correct the register with `kho register issue`
goodbye-peer_misbehaved = the peer broke the protocol: { $reason }
goodbye-idle_timeout = the peer sent nothing within the timeout
goodbye-preferred_parent_back = a parent that comes earlier in the register answers again
goodbye-continues_elsewhere = the child continues at another node

shown-site = site { $site }
shown-node = node { $node } of this site
shown-file = a bundle

diverged-stream = origin { $origin } after batch { $seq }
diverged-state = the state after entry { $position } of the site's log

evidence-another_history = another history of this origin
evidence-digest_mismatch = the rows do not have the digest that the head claims
evidence-chain_mismatch = the batches do not lead to the head's chain hash
evidence-held_batches_altered = batches that are held were altered: they do not lead to the head's chain hash
evidence-transfer_of_another_history = the rows of a transfer belong to another history than those held
evidence-transfer_digest_mismatch = the rows of a transfer do not have the digest that the head claims
evidence-transfer_chain_mismatch = the batches of a transfer do not lead to the head's chain hash
