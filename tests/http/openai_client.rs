//! The official Python client of OpenAI's API.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::Server;

/// The release that the test was written with.
const CLIENT: &str = "openai==3.57.0";

/// A Python with the client, made once in the cache. Says why if there is none to be had.
fn python() -> Result<PathBuf, String> {
    let root = sconce::cache_root().ok_or("no cache folder is known")?;
    let folder = root.join(format!("test-venv-{}", CLIENT.replace("==", "-")));
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
    let pip = ["-m", "pip", "install", "--quiet", CLIENT];
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

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client_is_served() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {CLIENT} cannot be installed: {reason}");
            return;
        }
    };
    let server = Server::start(&[]).await;
    let url = format!("{}/v1", server.url);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("http/openai_client.py");
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python).arg(script).arg(url).output().unwrap()
    });
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(told.contains("all calls answered as expected"), "{told}");
}
