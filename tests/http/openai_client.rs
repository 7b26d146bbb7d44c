//! The official Python client of OpenAI's API.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::Server;

/// The release that the test was written with.
const CLIENT: &str = "openai==3.57.0";

/// A Python with the client, made once in the cache. Says why if there is none to be had.
fn python() -> Result<PathBuf, String> {
    let root = sconce::cache_root().ok_or("no cache folder is known")?;
    let folder = root.join(format!("test-{}", CLIENT.replace("==", "-")));
    let python = folder.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    call(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet", CLIENT];
    let installed = call(Command::new(&python).args(pip));
    if installed.is_err() {
        // Half an environment would pass for a whole one the next time.
        std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    }
    installed.map(|()| python)
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
