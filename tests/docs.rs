//! Every command in the README and in docs/ is run, against a server of the default model.
//!
//! A block that starts a server, the tests or a build is marked `starts=…` in its info string: it is
//! only parsed, and printed.
#![expect(
    clippy::unwrap_used,
    reason = "what a test's own set-up cannot do fails the test"
)]
#![expect(
    clippy::print_stdout,
    reason = "the reason of what is not run is printed"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sconce-under-test");

/// A fenced block of shell commands and where it stands.
struct Block {
    file: PathBuf,
    info: String,
    commands: String,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Starts a server and waits until it has announced its model.
fn start() -> (Server, String) {
    let mut process = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let server = Server(process);
    let address = lines
        .next()
        .unwrap()
        .unwrap()
        .replace("listening on http://", "");
    let announced = lines.find(|line| line.as_ref().unwrap().starts_with("try it"));
    assert!(announced.is_some(), "the server ended while it loaded");
    std::thread::spawn(move || lines.for_each(drop));
    (server, address)
}

fn blocks(file: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) if info.starts_with("sh") => {
                open = true;
                let info = info.to_owned();
                found.push(Block {
                    file: file.to_owned(),
                    info,
                    commands: String::new(),
                });
            }
            _ if open => {
                let commands = &mut found.last_mut().unwrap().commands;
                commands.push_str(line);
                commands.push('\n');
            }
            _ => {}
        }
    }
    found
}

fn bash(commands: &str, folder: &Path, options: &[&str]) -> (bool, String) {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(options)
        .args(["-euo", "pipefail", "-c", commands])
        .env("PATH", path)
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

#[test]
fn every_command_in_the_docs_can_be_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(PROGRAM, folder.path().join("sconce")).unwrap();
    let docs = std::fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|it| it.unwrap().path());
    let files: Vec<PathBuf> = docs.chain([root.join("README.md")]).collect();
    let all: Vec<Block> = files.iter().flat_map(|file| blocks(file)).collect();
    assert!(all.len() > 7, "only {} blocks were found", all.len());
    let (_server, address) = start();
    for block in all {
        let name = block
            .file
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        if block.info.contains("starts=") {
            println!(
                "{name}: not run, only parsed ({}):\n{}",
                block.info, block.commands
            );
            let (is_shell, told) = bash(&block.commands, folder.path(), &["-n"]);
            assert!(is_shell, "{name}: {told}");
            continue;
        }
        let commands = block.commands.replace("127.0.0.1:8080", &address);
        let (succeeded, told) = bash(&commands, folder.path(), &[]);
        assert!(
            succeeded && !told.trim().is_empty(),
            "{name}:\n{commands}\n{told}"
        );
    }
}
