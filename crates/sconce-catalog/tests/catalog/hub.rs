//! Models out of a hub's repository, from a small hub on this machine.

use std::fs;
use std::time::Duration;

use crate::local_hub::{Door, Ending, LocalHub, Manners, Ranges};
use crate::scene::Scene;
use axum::http::Method;
use sconce_catalog::{CatalogError, FetchProgress, HubFile, Integrity};

/// A scene whose model is in a hub that behaves like this.
async fn scene_with(manners: Manners) -> (Scene, LocalHub) {
    let scene = Scene::new();
    let hub = LocalHub::start(&scene.content, manners).await;
    let scene = scene.with_hub(&hub.endpoint);
    (scene, hub)
}

fn sha256_of(scene: &Scene) -> String {
    scene.catalog().default_card().sha256.to_string()
}

#[tokio::test]
async fn a_file_behind_a_redirect_arrives() {
    let (scene, hub) = scene_with(Manners::default()).await;
    let told = scene.expect_content().await;
    assert!(matches!(
        &told[0],
        FetchProgress::Started { origin, bytes_done: 0, bytes_total: Some(300_000) }
            if origin == "org/tiny@v1:weights/tiny.gguf"
    ));
    assert!(
        told.contains(&FetchProgress::Advanced {
            bytes_done: 300_000
        }),
        "{told:?}"
    );
    assert_eq!(hub.seen()[0].path, "/org/tiny/v1/weights/tiny.gguf");
    assert!(!scene.staging().exists());
    let seen = hub.seen().len();
    assert_eq!(scene.expect_content().await, []);
    assert_eq!(hub.seen().len(), seen, "a cached model needs no hub");
}

#[tokio::test]
async fn the_token_goes_to_the_hub_and_not_where_it_redirects_to() {
    let manners = Manners {
        token: Some("secret"),
        ..Manners::default()
    };
    let (mut scene, hub) = scene_with(manners).await;
    scene.settings.hub_token = Some("secret".to_owned());
    scene.expect_content().await;
    for seen in hub.seen() {
        assert_eq!(
            seen.has_token,
            !seen.path.starts_with("/storage"),
            "{seen:?}"
        );
    }
    assert!(!format!("{:?}", scene.settings).contains("\"secret\""));
}

#[tokio::test]
async fn a_broken_download_is_taken_up_where_it_broke() {
    let (scene, hub) = scene_with(Manners::default()).await;
    hub.end_next([Ending::Closes(100_000), Ending::Closes(50_000)]);
    scene.expect_content().await;
    let ranges = hub.ranges();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1].as_deref(), Some("bytes=100000-299999"));
    assert_eq!(ranges[2].as_deref(), Some("bytes=150000-299999"));
}

#[tokio::test]
async fn a_download_that_fails_for_good_is_kept_for_the_next_run() {
    let (scene, hub) = scene_with(Manners::default()).await;
    hub.end_next([
        Ending::Closes(100_000),
        Ending::Closes(0),
        Ending::Closes(0),
        Ending::Closes(0),
    ]);
    let message = scene.refusal().await;
    assert!(message.contains("it goes on where it stopped"), "{message}");
    assert!(message.contains("weights/tiny.gguf"), "{message}");
    assert!(!scene.path().exists());
    let told = scene.expect_content().await;
    assert!(
        matches!(
            told[0],
            FetchProgress::Started {
                bytes_done: 100_000,
                ..
            }
        ),
        "{told:?}"
    );
    assert_eq!(
        hub.ranges().last().unwrap().as_deref(),
        Some("bytes=100000-299999")
    );
}

#[tokio::test]
async fn a_download_that_is_given_up_is_taken_up_by_the_next() {
    let (scene, hub) = scene_with(Manners::default()).await;
    hub.end_next([Ending::Stalls(200_000)]);
    let given_up = tokio::time::timeout(Duration::from_millis(800), scene.resolve()).await;
    assert!(given_up.is_err());
    assert!(!scene.path().exists());
    let told = scene.expect_content().await;
    assert!(
        matches!(
            told[0],
            FetchProgress::Started {
                bytes_done: 200_000,
                ..
            }
        ),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_silent_hub_counts_as_a_broken_connection() {
    let (mut scene, hub) = scene_with(Manners::default()).await;
    scene.settings.hub_silence_max = Duration::from_millis(300);
    hub.end_next([Ending::Stalls(200_000)]);
    scene.expect_content().await;
    assert_eq!(hub.ranges().len(), 2);
}

#[tokio::test]
async fn a_hub_without_ranges_is_read_from_the_start() {
    let manners = Manners {
        ranges: Ranges::Ignored,
        ..Manners::default()
    };
    let (scene, hub) = scene_with(manners).await;
    hub.end_next([Ending::Closes(100_000)]);
    scene.expect_content().await;
    assert_eq!(hub.ranges().last(), Some(&None));
}

#[tokio::test]
async fn a_partial_download_of_other_content_is_not_taken_up() {
    let (scene, _hub) = scene_with(Manners::default()).await;
    fs::create_dir_all(scene.staging()).unwrap();
    let stale = scene.staging().join(format!("{}.partial", "0".repeat(64)));
    fs::write(&stale, vec![0; 1000]).unwrap();
    let told = scene.expect_content().await;
    assert!(
        matches!(told[0], FetchProgress::Started { bytes_done: 0, .. }),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_partial_download_that_is_too_long_starts_over() {
    let (scene, _hub) = scene_with(Manners::default()).await;
    fs::create_dir_all(scene.staging()).unwrap();
    let partial = scene
        .staging()
        .join(format!("{}.partial", sha256_of(&scene)));
    fs::write(partial, vec![0; 300_001]).unwrap();
    scene.expect_content().await;
}

#[tokio::test]
async fn a_refusal_names_the_file_and_the_remedy() {
    for (status, code, remedy) in [
        (401, "", "set HF_TOKEN or --hub-token"),
        (403, "GatedRepo", "accept the repository's terms"),
        (404, "RepoNotFound", "correct repository, revision or file"),
        (404, "RevisionNotFound", "no such revision"),
        (404, "EntryNotFound", "no such file"),
        (429, "", "too many requests"),
        (503, "", "run the command again later"),
        (418, "", "check HF_ENDPOINT"),
    ] {
        let manners = Manners {
            refusal: Some((status, code)),
            ..Manners::default()
        };
        let (scene, _hub) = scene_with(manners).await;
        let message = scene.refusal().await;
        let place = "file weights/tiny.gguf of repository org/tiny, revision v1";
        for part in [&status.to_string(), place, remedy] {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        assert!(!scene.path().exists());
    }
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_not_asked_for_again() {
    let manners = Manners {
        token: Some("right"),
        ..Manners::default()
    };
    let (mut scene, _hub) = scene_with(manners).await;
    scene.settings.hub_token = Some("wrong".to_owned());
    let message = scene.refusal().await;
    assert!(message.contains("does not accept the token"), "{message}");
    assert!(!message.contains("wrong"), "{message}");
}

#[tokio::test]
async fn a_file_that_the_hub_describes_otherwise_is_not_even_downloaded() {
    let wrong_digest = Manners {
        sha256: Some("0".repeat(64)),
        ..Manners::default()
    };
    let wrong_size = Manners {
        bytes: Some(299_999),
        ..Manners::default()
    };
    for manners in [wrong_digest, wrong_size] {
        let (scene, hub) = scene_with(manners).await;
        let message = scene.refusal().await;
        assert!(message.contains("nothing of it was kept"), "{message}");
        assert!(hub.seen().iter().all(|it| it.method == Method::HEAD));
    }
}

#[tokio::test]
async fn wrong_content_is_found_out_and_thrown_away() {
    let scene = Scene::new();
    let mut content = scene.content.clone();
    content[299_999] ^= 1;
    let hub = LocalHub::start(&content, Manners::default()).await;
    let scene = scene.with_hub(&hub.endpoint);
    let (resolved, _) = scene.resolve().await;
    assert!(
        matches!(resolved, Err(CatalogError::FetchedSha256 { .. })),
        "{resolved:?}"
    );
    assert!(!scene.path().exists());
    assert_eq!(fs::read_dir(scene.staging()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_hub_that_sends_more_than_the_model_is_cut_off() {
    let scene = Scene::new();
    let mut content = scene.content.clone();
    content.extend(vec![0; 5_000_000]);
    let manners = Manners {
        ranges: Ranges::Ignored,
        bytes: Some(300_000),
        ..Manners::default()
    };
    let hub = LocalHub::start(&content, manners).await;
    let scene = scene.with_hub(&hub.endpoint);
    let (resolved, _) = scene.resolve().await;
    assert!(
        matches!(resolved, Err(CatalogError::FetchedSize { .. })),
        "{resolved:?}"
    );
    assert_eq!(fs::read_dir(scene.staging()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_without_a_card_is_checked_against_what_the_hub_says() {
    let known = sha256_of(&Scene::new().with_wheels(1));
    for (sha256, door, integrity) in [
        (Some(known.clone()), Door::Storage, Integrity::Sha256),
        (Some(known), Door::Hub, Integrity::Sha256),
        (None, Door::Storage, Integrity::SizeOnly),
        (None, Door::Hub, Integrity::SizeOnly),
    ] {
        let manners = Manners {
            sha256,
            door,
            ..Manners::default()
        };
        let (scene, hub) = scene_with(manners).await;
        let text = "org/other@refs/pr/1:a/b.gguf";
        let resolved = scene.resolve_in(&scene.catalog(), text).await.0.unwrap();
        assert_eq!(
            (resolved.integrity, resolved.name.as_str()),
            (integrity, text)
        );
        let file = HubFile::new("org/other", "refs/pr/1", "a/b.gguf").unwrap();
        assert_eq!(resolved.path, scene.cache.hub_path(&file));
        assert!(fs::read(&resolved.path).unwrap() == scene.content);
        let seen = hub.seen().len();
        let again = scene.resolve_in(&scene.catalog(), text).await.0.unwrap();
        assert_eq!((again.integrity, hub.seen().len()), (integrity, seen));
        fs::write(&resolved.path, &scene.content[1..]).unwrap();
        let changed = scene.resolve_in(&scene.catalog(), text).await.0;
        assert!(
            matches!(changed, Err(CatalogError::WrongSize { .. })),
            "{changed:?}"
        );
    }
}

#[tokio::test]
async fn a_hub_that_is_away_is_passed_over_for_the_next_source() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let scene = Scene::new().with_hub(&endpoint).with_wheels(1);
    let told = scene.expect_content().await;
    assert!(
        matches!(&told[0], FetchProgress::SourceFailed { reason } if reason.contains("refused"))
    );
    let scene = Scene::new().with_hub(&endpoint).with_wheels(1);
    fs::write(scene.file("refuse"), "ERROR: no network").unwrap();
    let message = scene.refusal().await;
    for part in ["no source of tiny", "org/tiny", "ERROR: no network"] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_an_error() {
    for endpoint in ["", "no hub", "mailto:hub@example.org"] {
        let scene = Scene::new().with_hub(endpoint);
        let message = scene.refusal().await;
        assert!(message.contains("HF_ENDPOINT"), "{endpoint:?}: {message}");
    }
}

/// A hub with these files, and a scene that asks it.
async fn scene_with_files(files: &[(&'static str, &[u8])]) -> (Scene, LocalHub) {
    let files = files.iter().map(|(name, it)| (*name, it.to_vec()));
    let manners = Manners {
        files: files.collect(),
        ..Manners::default()
    };
    scene_with(manners).await
}

const INDEX: &[u8] = br#"{"weight_map": {
    "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"
}}"#;

#[tokio::test]
async fn a_repository_arrives_as_a_folder_and_then_needs_no_hub() {
    let (scene, hub) = scene_with_files(&[
        ("config.json", b"{}"),
        ("tokenizer.json", b"{ }"),
        ("tokenizer_config.json", b"{  }"),
        ("model.safetensors.index.json", INDEX),
        ("model-00001-of-00002.safetensors", b"one"),
        ("model-00002-of-00002.safetensors", b"two"),
        ("pytorch_model.bin", b"not wanted"),
    ])
    .await;
    let (resolved, told) = scene.resolve_in(&scene.catalog(), "org/folder").await;
    let resolved = resolved.unwrap();
    assert_eq!(resolved.name, "org/folder");
    assert!(resolved.path.ends_with("models/hub/org/folder/main"));
    let read = |file: &str| fs::read_to_string(resolved.path.join(file)).unwrap_or_default();
    assert_eq!(read("config.json"), "{}");
    assert_eq!(read("model-00002-of-00002.safetensors"), "two");
    assert_eq!(read("pytorch_model.bin"), "");
    let has_failed = |it: &FetchProgress| matches!(it, FetchProgress::SourceFailed { .. });
    assert!(!told.iter().any(has_failed), "{told:?}");
    let seen = hub.seen().len();
    let (again, _) = scene.resolve_in(&scene.catalog(), "org/folder").await;
    assert_eq!(again.unwrap().path, resolved.path);
    assert_eq!(hub.seen().len(), seen);
}

#[tokio::test]
async fn a_repository_without_weights_or_with_some_elsewhere_is_refused() {
    let needed: [(&str, &[u8]); 2] = [("config.json", b"{}"), ("tokenizer.json", b"{}")];
    let (scene, _hub) = scene_with_files(&needed).await;
    let refusal = scene.resolve_in(&scene.catalog(), "org/folder").await.0;
    let message = refusal.unwrap_err().to_string();
    assert!(message.contains("file model.safetensors of"), "{message}");
    let outside: &[u8] = br#"{"weight_map": {"a": "../other.safetensors"}}"#;
    let index = ("model.safetensors.index.json", outside);
    let (scene, _hub) = scene_with_files(&[needed[0], needed[1], index]).await;
    let refusal = scene.resolve_in(&scene.catalog(), "org/folder").await.0;
    assert!(matches!(refusal, Err(CatalogError::BrokenIndex { .. })));
}

#[tokio::test]
async fn a_model_in_parts_arrives_whole() {
    let (scene, hub) = scene_with_files(&[
        ("q/a-00001-of-00002.gguf", b"first"),
        ("q/a-00002-of-00002.gguf", b"second"),
    ])
    .await;
    let catalog = scene.catalog();
    for part in ["q/a-00001-of-00002.gguf", "q/a-00002-of-00002.gguf"] {
        let (resolved, _) = scene
            .resolve_in(&catalog, &format!("org/tiny:{part}"))
            .await;
        let path = resolved.unwrap().path;
        assert!(path.ends_with("q/a-00001-of-00002.gguf"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        let second = path.with_file_name("a-00002-of-00002.gguf");
        assert_eq!(fs::read_to_string(second).unwrap(), "second");
    }
    assert!(hub.seen().iter().all(|it| !it.path.contains("00003")));
}
