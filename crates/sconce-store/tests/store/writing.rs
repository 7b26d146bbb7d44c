//! What is kept, in order and over restarts, and what happens when it cannot be.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use sconce_store::{Durability, NotWritten, Recorder, StoreError, verify};

use super::{Counts, closed, open_and_close, opened, options, start, wait};

#[test]
fn what_was_written_is_there_after_a_restart_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let mut chains = Vec::new();
    for run in 0..3 {
        let recorder = start(&options);
        for number in 0..10 {
            open_and_close(&recorder, run * 10 + number);
        }
        drop(recorder);
        let verified = verify(folder.path()).unwrap();
        assert_eq!((verified.closed, verified.open), ((run + 1) * 10, 0));
        assert_eq!(verified.torn_bytes, 0);
        chains.push(verified.chain);
    }
    chains.dedup();
    assert_eq!(chains.len(), 3);
}

#[test]
fn what_was_open_is_closed_as_interrupted_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let recorder = start(&options);
    for number in 0..5 {
        wait(|told| recorder.open(&opened(number), told)).unwrap();
    }
    wait(|told| recorder.close(&closed(2), told)).unwrap();
    drop(recorder);
    let verified = verify(folder.path()).unwrap();
    assert_eq!((verified.closed, verified.open), (1, 4));
    drop(start(&options));
    let verified = verify(folder.path()).unwrap();
    assert_eq!((verified.closed, verified.open), (5, 0));
    let text = std::fs::read(folder.path().join("00000001.journal")).unwrap();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(text.matches("\"end\":\"interrupted\"").count(), 4);
}

#[test]
fn full_files_are_followed_by_others_that_carry_what_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.segment_bytes_max = 4_000;
    let recorder = start(&options);
    wait(|told| recorder.open(&opened(1_000), told)).unwrap();
    for number in 0..100 {
        open_and_close(&recorder, number);
    }
    drop(recorder);
    let verified = verify(folder.path()).unwrap();
    assert!(verified.segments > 5, "{verified:?}");
    assert_eq!((verified.closed, verified.open), (100, 1));
    // The request was opened in the first file; the start reads the last one alone.
    std::fs::remove_file(folder.path().join("00000001.journal")).unwrap();
    drop(start(&options));
    let verified = verify(folder.path()).unwrap();
    assert_eq!(verified.open, 0);
}

#[test]
fn a_journal_has_one_writer_and_is_its_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("records");
    let options = options(&folder);
    let recorder = start(&options);
    let second = Recorder::start(&options, Arc::new(Counts::default()));
    assert!(
        matches!(second, Err(StoreError::Locked { .. })),
        "{second:?}"
    );
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("00000001.journal")), 0o600);
    drop(recorder);
    drop(start(&options));
}

#[test]
fn nobody_begins_a_record_while_too_much_waits_but_all_may_end_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.waiting_bytes_max = 0;
    let counts = Arc::new(Counts::default());
    let recorder = Recorder::start(&options, counts.clone()).unwrap();
    let refused = wait(|told| recorder.open(&opened(1), told));
    assert!(
        matches!(refused, Err(NotWritten::Crowded { .. })),
        "{refused:?}"
    );
    wait(|told| recorder.close(&closed(1), told)).unwrap();
    assert_eq!(counts.failures.load(Ordering::Relaxed), 1);
}

#[test]
fn the_disk_is_asked_as_often_as_the_durability_says() {
    for (durability, syncs) in [
        (Durability::Process, 0..=0),
        (Durability::Group, 1..=20),
        (Durability::Each, 40..=40),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        options.durability = durability;
        let counts = Arc::new(Counts::default());
        let recorder = Recorder::start(&options, counts.clone()).unwrap();
        let since = Instant::now();
        for number in 0..20 {
            open_and_close(&recorder, number);
        }
        if durability == Durability::Group {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        let each_us = since.elapsed().as_micros() / 40;
        drop(recorder);
        let asked = counts.syncs.load(Ordering::Relaxed);
        assert!(syncs.contains(&asked), "{durability:?}: {asked}");
        assert_eq!(counts.entries.load(Ordering::Relaxed), 40);
        println!("{durability:?}: {each_us} us an entry, {asked} syncs");
    }
}
