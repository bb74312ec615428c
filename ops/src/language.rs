//! The language of the person who gave the command: it is chosen once, when the process begins, as a locale is.

use std::sync::OnceLock;

use kho_messages::Lang;

static CHOSEN: OnceLock<Lang> = OnceLock::new();

/// Chooses `given`, or what `LC_ALL`, `LC_MESSAGES` or `LANG` say. Only the first call counts.
pub fn choose(given: Option<Lang>) {
    let _ = CHOSEN.set(given.unwrap_or_else(of_environment));
}

/// The language that was chosen; without a choice, that of the environment.
pub fn current() -> Lang {
    *CHOSEN.get_or_init(of_environment)
}

fn of_environment() -> Lang {
    Lang::of_environment(|name| std::env::var(name).ok())
}
