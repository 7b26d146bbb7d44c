//! Cuts and changed bytes in the files of a journal.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use sconce_store::{Recorder, StoreError, verify};

use super::{Counts, open_and_close, options, start};

const FIRST: &str = "00000001.journal";

/// A journal of three files.
fn journal(folder: &Path) {
    let mut options = options(folder);
    options.segment_bytes_max = 6_000;
    let recorder = start(&options);
    for number in 0..30 {
        open_and_close(&recorder, number);
    }
    drop(recorder);
    assert_eq!(verify(folder).unwrap().segments, 3);
}

fn restart(folder: &Path) -> Result<Recorder, StoreError> {
    Recorder::start(&options(folder), Arc::new(Counts::default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_torn_end_is_cut_off_and_kept_aside_and_the_rest_verifies(cut in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        journal(folder.path());
        let last = folder.path().join("00000003.journal");
        let bytes = std::fs::read(&last).unwrap();
        // The head is whole before the file has its name.
        let cut = 56 + cut.index(bytes.len() - 56);
        std::fs::write(&last, &bytes[..cut]).unwrap();
        let before = verify(folder.path()).unwrap();
        drop(restart(folder.path()).unwrap());
        let after = verify(folder.path()).unwrap();
        prop_assert_eq!(after.torn_bytes, 0);
        prop_assert_eq!(after.open, 0);
        // What was open is closed now; nothing that was closed is gone.
        prop_assert_eq!(after.closed, before.closed + before.open);
        let kept = std::fs::read_dir(folder.path()).unwrap();
        let kept = kept.map(|it| it.unwrap().path()).find(|it| {
            it.extension().unwrap_or_default().to_string_lossy().starts_with("cut-")
        });
        let torn = kept.map_or(0, |it| it.metadata().unwrap().len());
        prop_assert_eq!(torn, before.torn_bytes);
    }

    #[test]
    fn a_changed_byte_is_an_error_that_names_the_file_and_the_place(
        at in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        journal(folder.path());
        let first = folder.path().join(FIRST);
        let mut bytes = std::fs::read(&first).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 0x20;
        std::fs::write(&first, &bytes).unwrap();
        let error = verify(folder.path()).unwrap_err();
        let StoreError::Damaged { path, offset, .. } = error else {
            panic!("{error}");
        };
        prop_assert_eq!(path, first);
        prop_assert!(offset as usize <= at && at < offset as usize + 500, "{} and {}", offset, at);
    }
}

#[test]
fn no_server_starts_on_a_journal_that_is_damaged_in_its_last_file() {
    let folder = tempfile::tempdir().unwrap();
    journal(folder.path());
    let last = folder.path().join("00000003.journal");
    let mut bytes = std::fs::read(&last).unwrap();
    let before = bytes.clone();
    bytes[100] ^= 1;
    std::fs::write(&last, &bytes).unwrap();
    let error = restart(folder.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("00000003.journal is damaged at byte 56"),
        "{error}"
    );
    // The refused start has changed nothing.
    assert_eq!(std::fs::read(&last).unwrap(), bytes);
    std::fs::write(&last, before).unwrap();
    drop(restart(folder.path()).unwrap());
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    journal(folder.path());
    std::fs::remove_file(folder.path().join("00000002.journal")).unwrap();
    let error = verify(folder.path()).unwrap_err();
    assert!(error.to_string().contains("00000002.journal"), "{error}");
    assert!(restart(folder.path()).is_err());
}

#[test]
fn a_file_of_another_journal_is_no_continuation() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    journal(folder.path());
    journal(other.path());
    let name = "00000002.journal";
    std::fs::copy(other.path().join(name), folder.path().join(name)).unwrap();
    let error = verify(folder.path()).unwrap_err();
    assert!(error.to_string().contains("continue the chain"), "{error}");
}
