//! The one binary. Arguments are read in `shell::cli`; everything else lives in the library.

fn main() -> std::process::ExitCode {
    tipring::shell::cli::main()
}
