### What an order did.

done-alive = alive
done-ready = ready
done-register_stands = register version { $version } stands
done-site_founded = site { $site } is founded with { $nodes ->
    [one] { $nodes } node
   *[other] { $nodes } nodes
}
done-site_founded_unasked =
    site { $site } is founded with { $nodes ->
        [one] { $nodes } node
       *[other] { $nodes } nodes
    }; its parent { $parent } did not answer, so whether the site was founded before is not known yet: see `kho status` once the link stands
done-node_added = node { $node } is a voter of site { $site }
done-node_removed =
    node { $node } was removed from site { $site }; its id is never used again.
    Left to revoke, unless its disk was destroyed: its certificate and its signing key.
    kho register revoke register.toml { $revoking }
    Leave its block in the register: the heads that it signed stay valid by it.
done-node_confirmed = this node takes node { $node } for a member of site { $site } until it learns the membership
done-time_confirmed = it is { $time } by this node's clock, and the site goes by that
done-level_raised = site { $site } works at level { $level } from now on, and never below it again
done-level_could_rise = nothing was changed; every node of site { $site } supports level { $level }. Once raised, the level is never lowered, and an older Kho starts no node of the site any more
done-test_noted = the note of a test was kept
done-origin_resumed = origin { $origin } is adopted again
done-transfer_abandoned = the transfer of origin { $origin } was given up
