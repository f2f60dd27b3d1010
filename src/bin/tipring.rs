//! Provisional: `tipring directory --config FILE` and `tipring accounts import FILE --config FILE`, to test the directory with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["directory", "--config", config] => directory(Path::new(config)),
        ["accounts", "import", file, "--config", config] => import(Path::new(file), Path::new(config)),
        _ => Err("usage: tipring directory --config FILE | tipring accounts import FILE.csv --config FILE".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn config(path: &Path) -> Result<tipring::config::directory::Config, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let root = std::env::var_os("TIPRING_STATE").map_or_else(|| PathBuf::from("target/state"), PathBuf::from);
    tipring::config::directory::parse(path, text, &root)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn directory(path: &Path) -> Result<(), String> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = config(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(tipring::shell::directory::run(config)).map_err(|e| e.to_string())
}

fn import(file: &Path, path: &Path) -> Result<(), String> {
    let count = tipring::shell::accounts::import(&config(path)?, file).map_err(|e| format!("{}: {e}", file.display()))?;
    println!("{count} accounts");
    Ok(())
}
