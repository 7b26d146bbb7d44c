//! The program under test: as a server, and as the command `sconce` of a shell.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sconce-under-test");
/// A command that hangs should fail the test and not keep it.
const COMMAND_TIMEOUT_S: &str = "180";

/// A server of the default model. Killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    /// Host and port.
    pub(crate) address: String,
}

impl Server {
    /// Starts a server and waits until it has announced its model.
    pub(crate) fn start() -> Self {
        let mut log = tempfile::tempfile().unwrap();
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--embeddings", "minilm"])
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        let address = first.replace("listening on http://", "");
        let server = Self { process, address };
        let is_ready = lines.any(|line| line.starts_with("try it"));
        assert!(
            is_ready,
            "the server ended while it loaded: {}",
            text_of(&mut log)
        );
        // The rest is read on, so that the server never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _status = self.process.wait();
    }
}

fn text_of(log: &mut File) -> String {
    let mut text = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut text).unwrap();
    text
}

/// A shell in which `sconce` is the program under test.
pub(crate) struct Shell {
    folder: TempDir,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(PROGRAM, folder.path().join("sconce")).unwrap();
        Self { folder }
    }

    /// Whether all of `commands` succeeded, and what they printed.
    pub(crate) fn run(&self, commands: &str, options: &[&str]) -> (bool, String) {
        let folder = self.folder.path().display();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let output = Command::new("timeout")
            .args([COMMAND_TIMEOUT_S, "bash"])
            .args(options)
            .args(["-euo", "pipefail", "-c", commands])
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        (output.status.success(), told)
    }
}
