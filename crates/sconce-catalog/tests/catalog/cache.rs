//! What is in the cache is checked once, believed while it is unchanged, and never shared by halves.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::scene::Scene;
use sconce_catalog::{CatalogError, FetchProgress, Integrity};

fn has_verified(told: &[FetchProgress]) -> bool {
    told.iter()
        .any(|it| matches!(it, FetchProgress::Verifying { .. }))
}

fn set_modified_later(scene: &Scene) {
    let file = File::options().write(true).open(scene.path()).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(5))
        .unwrap();
}

#[tokio::test]
async fn a_file_is_read_in_full_once_and_again_when_it_was_touched() {
    let scene = Scene::new().with_wheels(1);
    assert!(
        !scene
            .catalog()
            .is_cached(scene.catalog().default_card(), &scene.cache)
    );
    assert!(has_verified(&scene.expect_content().await));
    assert!(
        scene
            .catalog()
            .is_cached(scene.catalog().default_card(), &scene.cache)
    );
    assert!(!has_verified(&scene.expect_content().await));
    set_modified_later(&scene);
    assert!(
        !scene
            .catalog()
            .is_cached(scene.catalog().default_card(), &scene.cache)
    );
    assert!(has_verified(&scene.expect_content().await));
    assert!(!has_verified(&scene.expect_content().await));
}

#[tokio::test]
async fn a_truncated_file_is_an_error_that_names_it_and_the_remedy() {
    let scene = Scene::new().with_wheels(1);
    scene.expect_content().await;
    File::options()
        .write(true)
        .open(scene.path())
        .unwrap()
        .set_len(1000)
        .unwrap();
    let message = scene.refusal().await;
    assert!(
        message.contains(&scene.path().display().to_string()),
        "{message}"
    );
    assert!(
        message.contains("1000 of 300000 bytes") && message.contains("delete it"),
        "{message}"
    );
}

#[tokio::test]
async fn a_changed_file_is_an_error_that_names_it_and_both_digests() {
    let mut scene = Scene::new().with_wheels(1);
    scene.expect_content().await;
    let wanted = scene.catalog().default_card().sha256.to_string();
    scene.content[7] ^= 1;
    fs::write(scene.path(), &scene.content).unwrap();
    let found = scene.catalog().default_card().sha256.to_string();
    scene.content[7] ^= 1;
    set_modified_later(&scene);
    let message = scene.refusal().await;
    for part in [
        &scene.path().display().to_string(),
        &wanted,
        &found,
        "delete it",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn verify_reads_the_file_whatever_the_stamp_says() {
    let scene = Scene::new().with_wheels(1);
    let catalog = scene.catalog();
    let card = catalog.default_card();
    let mut told = Vec::new();
    let missing = catalog
        .verify(card, &scene.cache, &mut |it| told.push(it))
        .await;
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("sconce models pull tiny")
    );
    scene.expect_content().await;
    let sound = catalog
        .verify(card, &scene.cache, &mut |it| told.push(it))
        .await;
    assert_eq!(sound.unwrap(), scene.path());
    assert!(has_verified(&told));
    // The same size and time, so that only reading can tell.
    let modified = fs::metadata(scene.path()).unwrap().modified().unwrap();
    let mut bytes = scene.content.clone();
    bytes[0] ^= 1;
    fs::write(scene.path(), bytes).unwrap();
    File::options()
        .write(true)
        .open(scene.path())
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert!(catalog.is_cached(card, &scene.cache));
    let changed = catalog
        .verify(card, &scene.cache, &mut |it| told.push(it))
        .await;
    assert!(
        matches!(changed, Err(CatalogError::WrongSha256 { .. })),
        "{changed:?}"
    );
}

#[tokio::test]
async fn two_that_want_the_same_model_fetch_it_once() {
    let scene = Scene::new().with_wheels(1);
    let ((first, told), (second, also_told)) = tokio::join!(scene.resolve(), scene.resolve());
    assert_eq!(first.unwrap().path, second.unwrap().path);
    assert_eq!(scene.pip_calls().len(), 1);
    assert!(
        told.iter()
            .chain(&also_told)
            .any(|it| *it == FetchProgress::Waiting)
    );
}

#[tokio::test]
async fn a_file_that_was_put_there_by_hand_is_taken_if_it_is_right() {
    let scene = Scene::new().with_wheels(1);
    fs::create_dir_all(scene.path().parent().unwrap()).unwrap();
    fs::write(scene.path(), &scene.content).unwrap();
    assert!(has_verified(&scene.expect_content().await));
    assert_eq!(scene.pip_calls().len(), 0);
}

#[tokio::test]
async fn a_stamp_that_cannot_be_read_only_costs_a_reading() {
    let scene = Scene::new().with_wheels(1);
    scene.expect_content().await;
    fs::write(scene.path().with_file_name("tiny.gguf.stamp"), "bytes = ").unwrap();
    assert!(has_verified(&scene.expect_content().await));
    assert_eq!(scene.pip_calls().len(), 1);
}

#[tokio::test]
async fn a_cache_that_cannot_be_made_says_why() {
    let scene = Scene::new().with_wheels(1);
    fs::write(scene.cache.root(), "a file where a folder should be").unwrap();
    let message = scene.refusal().await;
    assert!(message.contains("cannot make"), "{message}");
    assert!(
        message.contains(&scene.cache.root().display().to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn a_path_is_taken_as_it_is() {
    let scene = Scene::new().with_wheels(1);
    let path = scene.file("My Model.gguf");
    let text = path.to_str().unwrap();
    let (resolved, _) = scene.resolve_in(&scene.catalog(), text).await;
    let message = resolved.unwrap_err().to_string();
    assert!(
        message.contains("there is no file") && message.contains(text),
        "{message}"
    );
    fs::write(&path, "x").unwrap();
    let resolved = scene.resolve_in(&scene.catalog(), text).await.0.unwrap();
    assert_eq!((resolved.name.as_str(), resolved.path), ("My Model", path));
    assert_eq!(resolved.integrity, Integrity::Unchecked);
}

#[tokio::test]
async fn a_fetch_can_run_as_a_task_of_its_own() {
    let scene = Scene::new().with_wheels(1);
    let task = tokio::spawn(async move { scene.resolve().await.0.map(|it| it.name) });
    assert_eq!(task.await.unwrap().unwrap(), "tiny");
}
