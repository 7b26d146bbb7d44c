//! Programs in Python that tests run, each in an environment of its own.

use std::path::PathBuf;
use std::process::Command;

/// A Python with `packages`, each given as `name==version` and separated by spaces, made once in the cache.
///
/// # Errors
/// Why there is none to be had.
pub fn python_with(packages: &str) -> Result<PathBuf, String> {
    let root = sconce::cache_root().ok_or("no cache folder is known")?;
    let folder = root.join(format!(
        "test-venv-{}",
        packages.replace("==", "-").replace(' ', "-")
    ));
    let python = folder.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    std::fs::create_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    // Made beside its place and then moved there, so that no half environment is ever found.
    let made = tempfile::Builder::new()
        .prefix(".test-venv-")
        .tempdir_in(&root)
        .map_err(|error| format!("{}: {error}", root.display()))?;
    call(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(made.path()),
    )?;
    let mut pip = vec!["-m", "pip", "install", "--quiet"];
    pip.extend(packages.split(' '));
    call(Command::new(made.path().join("bin/python")).args(pip))?;
    match std::fs::rename(made.path(), &folder) {
        Err(error) if !python.exists() => Err(format!("{}: {error}", folder.display())),
        // Else another run was here first, and its environment is as good.
        _ => Ok(python),
    }
}

fn call(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
