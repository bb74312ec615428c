### What an order did.

done-alive = alive
done-ready = ready
done-register_stands = register version { $version } stands
done-site_founded = site { $site } is founded with { $nodes ->
    [one] { $nodes } node
   *[other] { $nodes } nodes
}
done-node_added = node { $node } is a voter of site { $site }
done-node_removed = node { $node } was removed from site { $site }
done-time_confirmed = it is { $time } by this node's clock, and the site goes by that
done-origin_resumed = origin { $origin } is adopted again
done-transfer_abandoned = the transfer of origin { $origin } was given up
