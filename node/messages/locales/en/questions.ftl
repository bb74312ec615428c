### Why a question can't be answered, and what to do.

question-unknown_indicator = there is no indicator `{ $given }`
    .hint = use one of: { $indicators }
question-unknown_parameter = there is no parameter `{ $given }`
    .hint = use: { $parameters }
question-unknown_read_mode = `{ $given }` is no way to read
    .hint = use read=linearizable or read=local

question-unknown_dimension = `{ $indicator }` can't be grouped by `{ $given }`
    .hint = use: { $dimensions }; for areas use `level`
question-no_dimensions = `{ $indicator }` can't be grouped by `{ $given }`
    .hint = leave `by` out; use `level` for areas
question-repeated_dimension = `{ $given }` stands twice in `by`
    .hint = name every dimension once
question-too_many_groups = the table has more than { $groups_max } groups
    .hint = ask for fewer dimensions in `by`, a coarser `level`, or a smaller `area`

question-wrong_date = `{ $given }` is no date
    .hint = give at=YYYY-MM-DD, YYYY-MM or YYYY; ages count at the precision of months
question-ages_not_counted = `{ $indicator }` does not count ages, so `at` means nothing to it
    .hint = leave `at` out
question-period_not_applicable = `{ $indicator }` counts what is registered now, so `from` and `to` mean nothing to it
    .hint = leave them out; `at` moves the reference date of ages
question-wrong_month = `{ $given }` is no month
    .hint = give { $parameter }=YYYY-MM, or YYYY; events are counted by month
question-open_period = `{ $indicator }` is a rate and needs both ends of its period
    .hint = give from=YYYY-MM and to=YYYY-MM, both included
question-empty_period = the period starts in { $first }, after it ends in { $last }
    .hint = exchange `from` and `to`; both months are included

question-wrong_area = `{ $given }` is no area
    .hint = give a province (2 digits), a district (3), a commune (5), a region (R1 to R6), or VN
question-unknown_area = the catalogue `{ $catalogue }` has no area `{ $given }`
    .hint = the catalogue has the levels { $levels }; or ask with { $others }
question-unknown_level = `{ $given }` is no level of areas
    .hint = use one of: { $levels }
question-level_missing = the catalogue `{ $catalogue }` has no level `{ $level }`
    .hint = use one of: { $levels }
question-level_too_coarse = the level `{ $level }` is coarser than the area, a { $area_level }
    .hint = use level={ $area_level } or a finer one, or a larger area
question-unknown_catalogue = `{ $given }` is no catalogue of areas
    .hint = use one of: { $catalogues }

question-unknown_table = there is no table `{ $given }`
    .hint = use one of: { $tables }
question-wrong_key = a key of { $bytes } bytes belongs to no row
    .hint = give the `{ $column }` of a { $table }, 1 to { $bytes_max } bytes

question-not_counted = `{ $indicator }` can't be counted: this site's schema has no { $missing }
    .hint = give the site the population schema, or ask for another indicator
question-wrong_clock = this node's clock says { $time }
    .hint = set the node's clock, then ask again
