//! What the tests share: a cache in a temporary folder, a card, a Python that plays pip.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sconce_catalog::{
    Catalog, CatalogError, FetchProgress, FetchSettings, ModelCache, ModelReference, ResolvedModel,
    Sha256Digest,
};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

/// A temporary world with one model in it. The model is called `tiny`.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) cache: ModelCache,
    pub(crate) settings: FetchSettings,
    /// The model's bytes.
    pub(crate) content: Vec<u8>,
    sources: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalog/fake_python.sh");
        std::os::unix::fs::symlink(script, &python).unwrap();
        Self {
            cache: ModelCache::new(folder.path().join("cache")),
            folder,
            settings: FetchSettings {
                python_program: python,
                hub_silence_max: Duration::from_secs(2),
                ..FetchSettings::default()
            },
            content: (0..300_000_u32)
                .map(|it| (it.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect(),
            sources: String::new(),
        }
    }

    /// Cuts the content into as many wheels, which the fake pip will serve.
    pub(crate) fn with_wheels(mut self, count: usize) -> Self {
        let part = self.content.len().div_ceil(count);
        let mut packages = String::new();
        for (index, bytes) in self.content.chunks(part).enumerate() {
            self.put_wheel(index, &[(&format!("part/{index}.bin"), bytes)]);
            write!(
                packages,
                "{{ name = \"part{index}\", version = \"1.0\", member = \"part/{index}.bin\" }},"
            )
            .unwrap();
        }
        write!(
            self.sources,
            "[[source]]\nkind = \"wheel\"\ndownload_bytes = 300000\npackages = [{packages}]\n"
        )
        .unwrap();
        self
    }

    /// Adds a hub source.
    pub(crate) fn with_hub(mut self, endpoint: &str) -> Self {
        self.settings.hub_endpoint = Some(endpoint.to_owned());
        self.sources.push_str(
            "[[source]]\nkind = \"hub\"\nrepository = \"org/tiny\"\nrevision = \"v1\"\n\
             file = \"weights/tiny.gguf\"\n",
        );
        self
    }

    pub(crate) fn put_wheel(&self, index: usize, members: &[(&str, &[u8])]) {
        let path = self.file(&format!("part{index}-1.0.whl"));
        let mut wheel = zip::ZipWriter::new(File::create(path).unwrap());
        for (name, bytes) in members {
            wheel
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            wheel.write_all(bytes).unwrap();
        }
        wheel.finish().unwrap();
    }

    /// A file beside the fake Python.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How pip was called, a line a call.
    pub(crate) fn pip_calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn catalog(&self) -> Catalog {
        let path = self.file("content");
        fs::write(&path, &self.content).unwrap();
        self.catalog_of(
            self.content.len(),
            &Sha256Digest::of_file(&path).unwrap().to_string(),
        )
    }

    /// A catalog whose card claims this size and digest.
    pub(crate) fn catalog_of(&self, bytes: usize, sha256: &str) -> Catalog {
        let card = format!(
            "name = \"tiny\"\ndefault = true\ndescription = \"for tests\"\nfamily = \"llama\"\n\
             licence = \"MIT\"\ncontext_length_tokens = 64\nfile = \"tiny.gguf\"\n\
             bytes = {bytes}\nsha256 = \"{sha256}\"\n[chat]\nend_tokens = []\n{}\
             [[golden]]\nprompt = \"a\"\nprompt_tokens = [1]\ntokens = [2]\n",
            self.sources
        );
        Catalog::parse(&[("tiny", &card)]).unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.cache.card_path(self.catalog().default_card())
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.path().with_file_name(".tiny.gguf.staging")
    }

    pub(crate) async fn resolve(
        &self,
    ) -> (Result<ResolvedModel, CatalogError>, Vec<FetchProgress>) {
        self.resolve_in(&self.catalog(), "tiny").await
    }

    pub(crate) async fn resolve_in(
        &self,
        catalog: &Catalog,
        text: &str,
    ) -> (Result<ResolvedModel, CatalogError>, Vec<FetchProgress>) {
        let reference = ModelReference::parse(text, catalog).unwrap();
        let mut told = Vec::new();
        let mut progress = |it| told.push(it);
        let resolved = catalog
            .resolve(&reference, &self.cache, &self.settings, &mut progress)
            .await;
        (resolved, told)
    }

    /// Resolves, expects failure, and gives its message.
    pub(crate) async fn refusal(&self) -> String {
        self.resolve().await.0.unwrap_err().to_string()
    }

    /// Resolves, and checks that the file has the model's bytes.
    pub(crate) async fn expect_content(&self) -> Vec<FetchProgress> {
        let (resolved, told) = self.resolve().await;
        assert!(
            fs::read(resolved.unwrap().path).unwrap() == self.content,
            "the bytes differ"
        );
        told
    }
}
