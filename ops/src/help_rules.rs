//! What the help of every program promises. The tests of each program check it.

use clap::Parser;

/// Checks that every command of a program says what it does and shows an example, and that all examples are accepted. `name` is how
/// the program is called in them. Gives the number of examples.
///
/// # Panics
/// When the help of a command breaks one of these rules.
pub fn check<P: Parser>(name: &str) -> usize {
    let command = P::command();
    command.clone().debug_assert();
    check_command(&command, name);
    let mut examples = Vec::new();
    collect_examples(&command, name, &mut examples);
    for arguments in &examples {
        // A key in an example is shortened for the eye.
        let whole = |digits: &str| format!("04{}", digits.repeat(64));
        let arguments = arguments.replace("04ab…", &whole("ab")).replace("04cd…", &whole("cd"));
        let refused = P::try_parse_from([name].into_iter().chain(arguments.split_whitespace())).err();
        assert!(
            refused.is_none(),
            "`{name} {arguments}` is shown in a help text: {}",
            refused.map(|why| why.to_string()).unwrap_or_default()
        );
    }
    examples.len()
}

fn check_command(command: &clap::Command, path: &str) {
    let subcommands: Vec<_> = command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
    for sub in &subcommands {
        check_command(sub, &format!("{path} {}", sub.get_name()));
    }
    if subcommands.is_empty() {
        assert!(help_of(command).contains("Example") && help_of(command).contains(path), "`{path} --help` has no example of itself");
        assert!(command.get_about().is_some(), "`{path} --help` does not say what it does");
    }
}

/// What stands behind the program's name in each example.
fn collect_examples(command: &clap::Command, name: &str, examples: &mut Vec<String>) {
    let help = help_of(command).replace("\\\n", " ");
    examples.extend(help.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with(' ')).then(|| rest.split("  (").next().unwrap_or(rest).to_string())
    }));
    command.get_subcommands().for_each(|sub| collect_examples(sub, name, examples));
}

fn help_of(command: &clap::Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}
