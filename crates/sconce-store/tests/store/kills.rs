//! A process that is killed while it writes.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sconce_store::verify;

use super::{closed, opened, options, start, wait};

const FOLDER: &str = "SCONCE_STORE_TEST_FOLDER";
const FIRST: &str = "SCONCE_STORE_TEST_FIRST";
const WRITERS: u64 = 4;

/// Writes records for as long as it lives, and tells each end only once it is written. Files are short,
/// so that many kills fall into the change from one to the next.
#[test]
#[ignore = "the child of the other tests here, which kill it"]
fn child() {
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else {
        return;
    };
    let mut options = options(&PathBuf::from(folder));
    options.segment_bytes_max = 20_000;
    let recorder = start(&options);
    let next = Arc::new(AtomicU64::new(first.parse().unwrap()));
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    wait(|told| recorder.open(&opened(number), told)).unwrap();
                    tell("opened", number);
                    wait(|told| recorder.close(&closed(number), told)).unwrap();
                    tell("closed", number);
                }
            });
        }
    });
}

/// One write, so that a kill leaves no half of a line that looks like a whole one.
fn tell(what: &str, number: u64) {
    let line = format!("\n{what} {number};\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// What a child was told was written before it was killed.
#[derive(Default)]
struct Acknowledged {
    opened: HashSet<u64>,
    closed: HashSet<u64>,
}

impl Acknowledged {
    fn hear(&mut self, line: &str) {
        let line = line.strip_suffix(';').and_then(|it| it.split_once(' '));
        match line {
            Some(("opened", number)) => self.opened.insert(number.parse().unwrap()),
            Some(("closed", number)) => self.closed.insert(number.parse().unwrap()),
            _ => false,
        };
    }
}

fn run_and_kill(folder: &Path, first: u64, after: Duration, heard: &mut Acknowledged) {
    let own = std::env::current_exe().unwrap();
    let mut child = Command::new(own)
        .args(["--exact", "kills::child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let listening = std::thread::spawn(move || {
        let mut heard = Acknowledged::default();
        for line in lines.lines() {
            heard.hear(&line.unwrap());
        }
        heard
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let new = listening.join().unwrap();
    heard.opened.extend(new.opened);
    heard.closed.extend(new.closed);
}

/// The ids in the journal's files, of what was opened, of what ended, and of what was interrupted.
fn found(folder: &Path) -> [HashSet<u64>; 3] {
    let mut found = [HashSet::new(), HashSet::new(), HashSet::new()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "journal") {
            continue;
        }
        let text = std::fs::read(path).unwrap();
        let text = String::from_utf8_lossy(&text);
        for (kind, begins) in ["{\"opened\":{\"id\":\"req-", "{\"closed\":{\"id\":\"req-"]
            .into_iter()
            .enumerate()
        {
            for part in text.split(begins).skip(1) {
                let id = u64::from_str_radix(&part[..16], 16).unwrap();
                let facts = part.split('}').next().unwrap();
                let is_interrupted = facts.contains("\"interrupted\"");
                found[kind + usize::from(is_interrupted)].insert(id);
            }
        }
    }
    found
}

/// Kills so many children one after the other, and says what was found in the end.
fn survives(kills: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut heard = Acknowledged::default();
    let since = Instant::now();
    for kill in 0..kills {
        // Some die while they start, most at work. The numbers are spread without a random source.
        let after = Duration::from_micros(3_000 + (kill * 7_919) % 60_000);
        run_and_kill(folder.path(), kill * 1_000_000, after, &mut heard);
    }
    drop(start(&options(folder.path())));
    let verified = verify(folder.path()).unwrap();
    let [opened, ended, interrupted] = found(folder.path());
    let told = format!(
        "{kills} kills in {:.0} s: {} records acknowledged as opened and {} as closed, {} interrupted; \
         {} files, {} entries",
        since.elapsed().as_secs_f64(),
        heard.opened.len(),
        heard.closed.len(),
        interrupted.len(),
        verified.segments,
        verified.entries,
    );
    assert_eq!(verified.open, 0);
    assert!(
        heard.closed.len() as u64 > kills,
        "the children did nothing"
    );
    assert_eq!(
        heard.opened.difference(&opened).count(),
        0,
        "opened and lost"
    );
    assert_eq!(
        heard.closed.difference(&ended).count(),
        0,
        "closed and lost"
    );
    let has_ended = |id: &u64| ended.contains(id) != interrupted.contains(id);
    assert!(
        opened.iter().all(has_ended),
        "an end is missing or there twice"
    );
    told
}

#[test]
fn fifteen_kills_lose_no_acknowledged_record() {
    println!("{}", survives(15));
}

#[test]
#[ignore = "takes minutes"]
fn a_thousand_kills_lose_no_acknowledged_record() {
    println!("{}", survives(1_000));
}
