//! Exit codes of the soak programs: 0 when what they check holds, 1 when it does not or could not be checked.

use std::process::ExitCode;

/// The exit code of a soak that came to `outcome`: whether everything held. An error is printed on standard error.
pub fn exit_code(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
