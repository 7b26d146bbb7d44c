//! Files of keys, and who is let in by them.
#![expect(
    clippy::unwrap_used,
    reason = "what a test's own set-up cannot do fails the test"
)]

use std::num::NonZeroU16;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use sconce_domain::{Priority, Weight};
use sconce_keys::{Denied, KeyRing, KeysError, NewKey, Secret, entry_text};

fn new_key(name: &str, tenant: &str) -> NewKey {
    NewKey {
        name: name.to_owned(),
        tenant: tenant.to_owned(),
        is_admin: false,
        most_urgent: Priority(0),
        expires: None,
        models: None,
        limits: sconce_domain::Limits::default(),
    }
}

fn fault(text: &str) -> String {
    KeyRing::read(text).unwrap_err().to_string()
}

#[test]
fn a_secret_that_was_written_opens_and_no_other_does() {
    let (mine, theirs) = (Secret::new().unwrap(), Secret::new().unwrap());
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let admin = NewKey {
        is_admin: true,
        most_urgent: Priority(-5),
        expires: Some(later),
        ..new_key("ops", "house")
    };
    let mut text = entry_text(&new_key("web", "shop"), mine.digest()).unwrap();
    text += &entry_text(&admin, theirs.digest()).unwrap();
    text += "[tenant.shop]\nweight = 3\n";
    let ring = KeyRing::read(&text).unwrap();

    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let key = ring.find(mine.reveal(), now).unwrap();
    assert_eq!((&*key.name, &*key.tenant.0), ("web", "shop"));
    assert_eq!(key.weight, Weight(NonZeroU16::new(3).unwrap()));
    assert!(!key.is_admin && key.most_urgent == Priority(0));
    let key = ring.find(theirs.reveal(), now).unwrap();
    assert!(key.is_admin && key.most_urgent == Priority(-5));
    assert_eq!(key.weight, Weight::default());

    assert_eq!(ring.find(theirs.reveal(), later), Err(Denied::Expired));
    let near = &mine.reveal()[..mine.reveal().len() - 1];
    let long = mine.reveal().repeat(20);
    for sent in ["", "web", near, &mine.digest().to_string(), &long] {
        assert_eq!(ring.find(sent, now), Err(Denied::Unknown), "{sent:?}");
    }
}

#[test]
fn a_secret_is_long_never_the_same_and_in_no_file_or_log() {
    let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
    assert_ne!(one.reveal(), other.reveal());
    assert_eq!(one.reveal().len(), "sconce-".len() + 64);
    assert!(!format!("{one:?}").contains(&one.reveal()[7..]));
    let text = entry_text(&new_key("a", "b"), one.digest()).unwrap();
    assert!(!text.contains(&one.reveal()[7..]), "{text}");
}

#[test]
fn whatever_is_not_understood_in_a_file_is_told_and_no_key_of_it_opens() {
    let digest = "0".repeat(64);
    let entry = |name: &str, more: &str| {
        format!("[[key]]\nname = \"{name}\"\ntenant = \"t\"\nsha256 = \"{digest}\"\n{more}\n")
    };
    let one = entry("a", "");
    assert_eq!(KeyRing::read("").unwrap_err(), KeysError::NoKeys);
    for (text, word) in [
        (entry("a", "amdin = true"), "amdin"),
        (entry("a b", ""), "`a b`"),
        (entry("", ""), "1 to 64"),
        (entry("a", "expires = \"soon\""), "soon"),
        (entry("a", "most_urgent = 3000000000"), "most_urgent"),
        (format!("{one}{one}"), "two keys are named `a`"),
        (format!("{one}{}", entry("b", "")), "sha256 of another"),
        (format!("{one}[tenant.u]\nweight = 2"), "tenant `u`"),
        (format!("{one}[tenant.t]\nweight = 0"), "weight"),
        (one.replace(&digest, "12"), "64 hexadecimal digits"),
        (one.replace(&digest, &"ü".repeat(32)), "64 hexadecimal"),
        (one.replace(&digest, &"+0".repeat(32)), "64 hexadecimal"),
        ("[[key]".to_owned(), "line 1"),
    ] {
        let found = fault(&text);
        assert!(found.contains(word), "{text}\n{found}");
    }
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(text in "(\\[\\[key\\]\\]\n|name = \"[a-zü\"]{0,3}\"\n|sha256 = \"[0-9a-fü]{60,66}\"\n|tenant = \"t\"\n|expires = \"[0-9TZ:-]{0,20}\"\n|.){0,12}") {
        let _either = KeyRing::read(&text);
    }
}
