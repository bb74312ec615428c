//! What is being done, printed on standard error while it is done.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// Says what begins.
pub fn begin(what: impl Display) {
    print(format_args!("• {what}"));
}

/// Says a figure as soon as it is known.
pub fn note(what: impl Display) {
    print(format_args!("    {what}"));
}

fn print(what: impl Display) {
    // The measurement goes on when nobody reads.
    let _ = writeln!(io::stderr(), "{what}");
}
