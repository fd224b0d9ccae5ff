//! The door.

use std::process::ExitCode;

fn main() -> ExitCode {
    aqueduct::cli::main()
}
