//! What was said, under the seal of its tenant.

use std::path::Path;

use sconce_domain::{
    Message, RecordedAnswer, RecordedInput, RecordedOutput, Role, TenantId, ToolCall,
};
use sconce_store::{Content, Record, erase_subject, read_records, verify};

use super::{closed, opened, options, start, wait};

const CANARY: &str = "canary-4111-1111";

fn say(recorder: &sconce_store::Recorder, number: u64, tenant: &str) {
    let tenant = TenantId(tenant.into());
    let mut begun = opened(number);
    begun.tenant = tenant.clone();
    begun.input = Some(RecordedInput {
        user: Some(format!("user-{CANARY}")),
        messages: vec![Message::text(Role::User, format!("my number is {CANARY}"))],
        ..RecordedInput::default()
    });
    wait(|told| recorder.open(&begun, told)).unwrap();
    let mut ended = closed(number);
    ended.tenant = tenant;
    ended.output = Some(RecordedOutput {
        prompts: vec![format!("<user>my number is {CANARY}")],
        answers: vec![RecordedAnswer {
            text: format!("so it is {CANARY}"),
            calls: vec![ToolCall {
                id: "1".to_owned(),
                name: "dial".to_owned(),
                arguments: format!("{{\"number\": \"{CANARY}\"}}"),
            }],
            end: Some("stop"),
            ..RecordedAnswer::default()
        }],
    });
    wait(|told| recorder.close(&ended, told)).unwrap();
}

fn records(folder: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    read_records(folder, |it| records.push(it)).unwrap();
    records
}

fn all_bytes(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .flat_map(|it| std::fs::read(it.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn what_was_said_can_be_read_with_the_keys_and_stands_nowhere_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = start(&options(folder.path()));
    say(&recorder, 1, "shop");
    drop(recorder);
    let [record] = &records(folder.path())[..] else {
        panic!("one request was made")
    };
    let json = record.json();
    assert_eq!(
        json["input"]["messages"][0]["content"],
        format!("my number is {CANARY}")
    );
    assert_eq!(json["input"]["user"], format!("user-{CANARY}"));
    assert_eq!(
        json["output"]["answers"][0]["text"],
        format!("so it is {CANARY}")
    );
    assert_eq!(json["output"]["answers"][0]["calls"][0]["name"], "dial");
    assert_eq!(
        json["output"]["prompts"][0],
        format!("<user>my number is {CANARY}")
    );
    let bytes = all_bytes(folder.path());
    assert!(!bytes.windows(6).any(|it| it == &CANARY.as_bytes()[..6]));
}

#[test]
fn an_erased_tenant_s_words_are_gone_under_a_running_server_and_the_chain_still_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = start(&options(folder.path()));
    say(&recorder, 1, "shop");
    say(&recorder, 2, "bank");
    let before = verify(folder.path()).unwrap();
    assert_eq!(erase_subject(folder.path(), "shop").unwrap(), 1);
    assert_eq!(verify(folder.path()).unwrap(), before);
    say(&recorder, 3, "shop");
    drop(recorder);
    let found = records(folder.path());
    let is_kept = |it: &Content| matches!(it, Content::Kept(_));
    let [first, second, third] = &found[..] else {
        panic!("three requests were made")
    };
    assert_eq!(
        (&first.input, &first.output),
        (&Content::Erased, &Content::Erased)
    );
    assert!(is_kept(&second.input) && is_kept(&second.output));
    assert!(is_kept(&third.input) && is_kept(&third.output));
    // The key is not in the file any more, and the facts are still there.
    assert_eq!(first.closed.as_ref().unwrap().completion_tokens, 11);
    assert_eq!(erase_subject(folder.path(), "nobody").unwrap(), 0);
    verify(folder.path()).unwrap();
}

#[test]
#[cfg(unix)]
fn the_keys_are_their_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let recorder = start(&options(folder.path()));
    say(&recorder, 1, "shop");
    let keys = folder.path().join("subjects.keys").metadata().unwrap();
    assert_eq!(keys.permissions().mode() & 0o777, 0o600);
}

#[test]
fn words_that_are_not_kept_leave_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = start(&options(folder.path()));
    super::open_and_close(&recorder, 1);
    drop(recorder);
    assert!(!folder.path().join("subjects.keys").exists());
    assert_eq!(records(folder.path())[0].input, Content::Nothing);
}
