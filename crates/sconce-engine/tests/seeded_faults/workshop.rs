//! Builds the program that holds all faults, and runs it.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::faults::{Edit, Fault};

/// The crates that are copied, with the module that each becomes.
const COPIED: [(&str, &str); 3] = [
    ("sconce-kv", "kv"),
    ("sconce-scheduler", "scheduler"),
    ("sconce-engine", "engine"),
];

/// The libraries that those crates use.
const LIBRARIES: [&str; 2] = ["sha2", "thiserror"];

/// Tries the sound program and each fault. One line each: the verdict, the fault, and what the
/// simulation said first.
pub(crate) fn build_and_run(faults: &[Fault]) -> String {
    let workshop = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeded_faults");
    let sources = workshop.join("src");
    if sources.exists() {
        fs::remove_dir_all(&sources).expect("the last run's sources can be cleared away");
    }
    for (package, module) in COPIED {
        copy(
            &crates().join(package).join("src"),
            &sources.join(module),
            module,
            faults,
        );
    }
    let simulation = crates().join("sconce-engine/tests/simulation");
    copy(&simulation, &sources.join("simulation"), "simulation", &[]);
    publish(&sources.join("simulation"));
    write(&workshop.join("Cargo.toml"), &manifest());
    write(&sources.join("main.rs"), &program(faults));
    let lock = fs::read(crates().join("../Cargo.lock")).expect("the workspace has a lock file");
    fs::write(workshop.join("Cargo.lock"), lock).expect("the workshop can be written to");
    run(&workshop)
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn write(path: &Path, text: &str) {
    let folder = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(folder).expect("the workshop can be written to");
    fs::write(path, text).expect("the workshop can be written to");
}

/// Copies a crate's sources as a module of the program, with its faults built in.
fn copy(from: &Path, to: &Path, module: &str, faults: &[Fault]) {
    for entry in fs::read_dir(from).expect("the sources lie beside the tests") {
        let path = entry.expect("the sources can be listed").path();
        let text = fs::read_to_string(&path).expect("a source is text");
        let name = path
            .file_name()
            .and_then(|it| it.to_str())
            .expect("a source has a plain name");
        let named = if name == "lib.rs" { "mod.rs" } else { name };
        let broken = moved(&build_in(&path, text, faults), module);
        write(&to.join(named), &broken);
    }
}

/// Puts a module above the simulation's files through which the program reaches them.
fn publish(simulation: &Path) {
    fs::remove_file(simulation.join("main.rs")).expect("the simulation is a test of its own");
    let files = fs::read_dir(simulation).expect("the copies can be listed");
    let declare = |file: std::io::Result<fs::DirEntry>| {
        let path = file.expect("the copies can be listed").path();
        let module = path
            .file_stem()
            .and_then(|it| it.to_str())
            .expect("a source has a name");
        format!("pub mod {module};\n")
    };
    let modules: String = files.map(declare).collect();
    write(&simulation.join("mod.rs"), &modules);
}

fn build_in(path: &Path, mut text: String, faults: &[Fault]) -> String {
    for (index, fault) in faults.iter().enumerate() {
        if !path.ends_with(fault.file) {
            continue;
        }
        let (Edit::Expression(right, wrong) | Edit::Statements(right, wrong)) = fault.edit;
        let places = places(&text, right);
        let [place] = &places[..] else {
            panic!(
                "`{}` has {} places, not one: {right}",
                fault.name,
                places.len()
            );
        };
        let right = text[place.clone()].to_owned();
        text.replace_range(
            place.clone(),
            &switch(index + 1, &fault.edit, &right, wrong),
        );
    }
    text
}

/// Where `text` says `wanted`, however it is broken into lines.
fn places(text: &str, wanted: &str) -> Vec<Range<usize>> {
    let dense = |text: &str| -> Vec<(usize, char)> {
        text.char_indices()
            .filter(|(_, it)| !it.is_whitespace())
            .collect()
    };
    let (text, wanted) = (dense(text), dense(wanted));
    text.windows(wanted.len())
        .filter(|window| {
            window
                .iter()
                .zip(&wanted)
                .all(|(one, other)| one.1 == other.1)
        })
        .map(|window| window[0].0..window[window.len() - 1].0 + 1)
        .collect()
}

fn switch(number: usize, edit: &Edit, right: &str, wrong: &str) -> String {
    let switched = format!("if crate::fault_is({number}) {{ {wrong} }} else {{ {right} }}");
    match edit {
        Edit::Expression(..) => format!("({switched})"),
        Edit::Statements(..) => switched,
    }
}

/// Rewrites paths, as what were crates are modules now.
fn moved(text: &str, module: &str) -> String {
    let mut text = text.replace(" crate::", &format!(" crate::{module}::"));
    text = text.replace(&format!(" crate::{module}::fault_is("), " crate::fault_is(");
    for (package, module) in COPIED {
        text = text.replace(
            &format!("{}::", package.replace('-', "_")),
            &format!("crate::{module}::"),
        );
    }
    text
}

fn manifest() -> String {
    let workspace = fs::read_to_string(crates().join("../Cargo.toml")).expect("the root is there");
    let versions: Vec<&str> = workspace
        .lines()
        .filter(|line| {
            LIBRARIES
                .iter()
                .any(|it| line.starts_with(&format!("{it} = ")))
        })
        .collect();
    let domain = crates().join("sconce-domain");
    format!(
        "[package]\nname = \"seeded-faults\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n[lints.rust]\nwarnings = \"allow\"\n\n[dependencies]\n\
         sconce-domain = {{ path = {domain:?} }}\n{}\n\n\
         [profile.dev]\ndebug = false\n[profile.dev.package.sha2]\nopt-level = 3\n",
        versions.join("\n")
    )
}

fn program(faults: &[Fault]) -> String {
    let names: Vec<&str> = faults.iter().map(|it| it.name).collect();
    format!(
        r#"mod kv;
mod scheduler;
mod engine;
mod simulation;

use std::sync::atomic::{{AtomicUsize, Ordering}};

static FAULT: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn fault_is(number: usize) -> bool {{
    FAULT.load(Ordering::Relaxed) == number
}}

fn main() {{
    std::panic::set_hook(Box::new(|_| {{}}));
    let names: &[&str] = &{names:?};
    for (number, name) in std::iter::once(&"no fault").chain(names).enumerate() {{
        FAULT.store(number, Ordering::Relaxed);
        let outcome = std::panic::catch_unwind(simulation::proof::prove);
        let said = outcome.err().map(|it| simulation::proof::message(it.as_ref()).replace('\n', " "));
        match (number, said) {{
            (0, None) => println!("sound"),
            (0, Some(said)) => println!("unsound: {{said}}"),
            (_, None) => println!("missed: {{name}}"),
            (_, Some(said)) => println!("caught: {{name}}: {{said}}"),
        }}
    }}
}}
"#
    )
}

fn run(workshop: &Path) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--manifest-path"])
        .arg(workshop.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(workshop.join("target"))
        .output()
        .expect("cargo runs, as it runs this test");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the program with the faults does not build or run:\n{errors}"
    );
    String::from_utf8(output.stdout).expect("the program prints text")
}
