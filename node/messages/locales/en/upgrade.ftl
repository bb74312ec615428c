### What `kho upgrade status` prints.

upgrade-heading = { $name } (site { $site }) works at level { $level }; the highest level that any build here supports is { $wanted }
upgrade-column-node = node
upgrade-column-role = role
upgrade-column-supports = supports level
upgrade-column-build = build
upgrade-column-child = child
upgrade-column-site = site
upgrade-column-level = level
upgrade-parent = parent: site { $site } works at level { $level }, its build { $build } supports level { $supported }
upgrade-leader-elsewhere = node { $node } answers and does not lead: what parent and children say is known to the leader alone, at { $leader }
upgrade-voter = voter
upgrade-learner = learner
upgrade-unknown = not known
upgrade-held = holds back: { $why }
upgrade-nobody = nobody holds the tree back

held-node_older = node { $node } supports level { $supported }, not { $wanted }; install a newer Kho there
held-node_silent = node { $node } does not say what it supports ({ $error }); start it, or remove it with `kho node remove`
held-parent_lower = the parent, site { $parent }, works at level { $level }; it is raised to { $wanted } before this site
held-site_not_raised = this site, { $site }, works at level { $level } though every node supports { $wanted }; `kho upgrade raise --dry-run`, then `kho upgrade raise`
held-child_older = child { $name } (site { $site }) supports level { $supported }, not { $wanted }; install a newer Kho there
held-child_not_raised = child { $name } (site { $site }) works at level { $level } and could be raised to { $wanted }; run `kho upgrade status` there
held-child_silent = child { $name } (site { $site }) has not greeted this node since its start; see `kho status`
