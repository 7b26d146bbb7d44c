//! How a user names a model: a card, a path, a file in a hub's repository, or such a repository.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Catalog, CatalogError};

/// The weights of a model that is a folder.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// How the files of models end, those that belong to weights last.
const FILE_ENDINGS: [&str; 3] = [".gguf", ".safetensors", ".json"];
/// The branch that is meant when no revision is given.
const REVISION_DEFAULT: &str = "main";
/// How files end that come in parts.
const PARTS_ENDING: &str = ".gguf";
/// More parts than anybody makes.
const PARTS_MAX: u32 = 1000;
/// What every folder of a model has.
pub(crate) const DESCRIPTION: &str = "config.json";

/// What a user may write after `--model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelReference {
    /// A card, by its own name.
    Card(String),
    /// A file on this machine, or a folder with a model's description.
    Path(PathBuf),
    /// A file in a repository of the hub.
    Hub(HubFile),
    /// A repository of the hub that is a folder with a model's description.
    HubFolder(HubFolder),
}

/// Whether `path` is a folder that describes a model.
pub(crate) fn is_model_folder(path: &Path) -> bool {
    [DESCRIPTION, WEIGHTS]
        .iter()
        .any(|it| path.join(it).is_file())
}

impl ModelReference {
    /// Reads a card's name or alias, a path that ends in `.gguf` or exists, a folder with a
    /// `model.safetensors` or a `config.json` in it, or `HUB/REPO:FILE.gguf` or `HUB/REPO` with an
    /// optional `@REVISION` after the repository.
    ///
    /// # Errors
    /// [`CatalogError::UnknownModel`], which lists the known names and the forms.
    pub fn parse(text: &str, catalog: &Catalog) -> Result<Self, CatalogError> {
        if let Some(card) = catalog.find(text) {
            return Ok(Self::Card(card.name.clone()));
        }
        let path = Path::new(text);
        if path.is_file() || is_model_folder(path) {
            return Ok(Self::Path(path.to_path_buf()));
        }
        if let Some(file) = HubFile::parse(text) {
            return Ok(Self::Hub(file));
        }
        if path
            .extension()
            .is_some_and(|it| it.eq_ignore_ascii_case("gguf"))
        {
            return Ok(Self::Path(path.to_path_buf()));
        }
        if let Some(folder) = HubFolder::parse(text) {
            return Ok(Self::HubFolder(folder));
        }
        Err(CatalogError::UnknownModel {
            text: text.to_owned(),
            known: catalog.known_names(),
        })
    }

    /// The name that clients use for the model, known before its file is.
    #[must_use]
    pub fn served_name(&self) -> String {
        match self {
            Self::Card(name) => name.clone(),
            Self::Path(path) => {
                let named = match path.is_dir() {
                    true => path.canonicalize().unwrap_or_else(|_| path.clone()),
                    false => path.clone(),
                };
                let stem = named.file_stem().unwrap_or_default();
                stem.to_string_lossy().into_owned()
            }
            Self::Hub(file) => file.to_string(),
            Self::HubFolder(folder) => folder.to_string(),
        }
    }
}

/// A file in a repository of the hub. Its parts are safe as folder names and in a URL's path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "HubFileText")]
pub struct HubFile {
    owner: String,
    repository: String,
    revision: String,
    file: String,
}

/// A hub source as a card writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HubFileText {
    repository: String,
    revision: String,
    file: String,
}

impl TryFrom<HubFileText> for HubFile {
    type Error = String;

    fn try_from(text: HubFileText) -> Result<Self, String> {
        Self::new(&text.repository, &text.revision, &text.file)
    }
}

impl HubFile {
    /// `repository` is `OWNER/NAME`; `file` is a path inside it that ends in `.gguf`, `.safetensors` or
    /// `.json`.
    ///
    /// # Errors
    /// If a part is empty, would leave its folder, or has a character that hubs do not allow.
    pub fn new(repository: &str, revision: &str, file: &str) -> Result<Self, String> {
        let folder = HubFolder::new(repository, revision)?;
        let lower = file.to_ascii_lowercase();
        let is_model_file = FILE_ENDINGS.iter().any(|it| lower.ends_with(it));
        if !file.split('/').all(is_file_name) || !is_model_file {
            let endings = FILE_ENDINGS.join(", ");
            return Err(format!(
                "file {file:?} is no path that ends in one of {endings}"
            ));
        }
        Ok(folder.with_file(file))
    }

    /// All files of the model that this one is a part of, by the way llama.cpp's gguf-split names them;
    /// only this one where its name is not of that kind.
    pub(crate) fn parts(&self) -> Vec<Self> {
        let numbers = || {
            let at = self.file.len().checked_sub(PARTS_ENDING.len())?;
            let (stem, ending) = self.file.split_at_checked(at)?;
            if !ending.eq_ignore_ascii_case(PARTS_ENDING) {
                return None;
            }
            let (stem, count) = stem.rsplit_once("-of-")?;
            let (stem, number) = stem.rsplit_once('-')?;
            let is_number = |it: &str| it.len() == 5 && it.bytes().all(|it| it.is_ascii_digit());
            let (number, total) = (is_number(number).then_some(number)?, count);
            let total: u32 = is_number(total).then(|| total.parse().ok())??;
            let number: u32 = number.parse().ok()?;
            (1..=total)
                .contains(&number)
                .then_some((stem, total, ending))
        };
        let Some((stem, count, ending)) = numbers().filter(|(_, count, _)| *count <= PARTS_MAX)
        else {
            return vec![self.clone()];
        };
        let part = |number: u32| Self {
            file: format!("{stem}-{number:05}-of-{count:05}{ending}"),
            ..self.clone()
        };
        (1..=count).map(part).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let (place, file) = text.split_once(':')?;
        let (repository, revision) = place.split_once('@').unwrap_or((place, REVISION_DEFAULT));
        // Weights of other kinds need files beside them, which only a card or a folder has.
        let is_whole = file.to_ascii_lowercase().ends_with(FILE_ENDINGS[0]);
        Self::new(repository, revision, file)
            .ok()
            .filter(|_| is_whole)
    }

    /// The file at `path` from this one's folder.
    pub(crate) fn beside(&self, path: &str) -> Option<Self> {
        let file = match self.file.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{path}"),
            None => path.to_owned(),
        };
        let repository = format!("{}/{}", self.owner, self.repository);
        Self::new(&repository, &self.revision, &file).ok()
    }

    /// Who owns the repository.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The repository's name without its owner.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Branch, tag or commit.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The file's path inside the repository.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }
}

impl fmt::Display for HubFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner,
            repository,
            revision,
            file,
        } = self;
        if revision == REVISION_DEFAULT {
            write!(formatter, "{owner}/{repository}:{file}")
        } else {
            write!(formatter, "{owner}/{repository}@{revision}:{file}")
        }
    }
}

/// A repository of the hub that is a folder with a model's description, weights and tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubFolder {
    owner: String,
    repository: String,
    revision: String,
}

impl HubFolder {
    /// `repository` is `OWNER/NAME`.
    ///
    /// # Errors
    /// If a part is empty or has a character that hubs do not allow.
    pub fn new(repository: &str, revision: &str) -> Result<Self, String> {
        let (owner, name) = repository
            .split_once('/')
            .filter(|(owner, name)| is_plain_name(owner) && is_plain_name(name))
            .ok_or_else(|| format!("repository {repository:?} is not of the form OWNER/NAME"))?;
        if !revision.split('/').all(is_plain_name) {
            return Err(format!("revision {revision:?} is no branch, tag or commit"));
        }
        Ok(Self {
            owner: owner.to_owned(),
            repository: name.to_owned(),
            revision: revision.to_owned(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, REVISION_DEFAULT));
        Self::new(repository, revision).ok()
    }

    /// A file of the folder, whose name its caller has checked.
    pub(crate) fn with_file(&self, file: &str) -> HubFile {
        HubFile {
            owner: self.owner.clone(),
            repository: self.repository.clone(),
            revision: self.revision.clone(),
            file: file.to_owned(),
        }
    }
}

impl fmt::Display for HubFolder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner,
            repository,
            revision,
        } = self;
        if revision == REVISION_DEFAULT {
            write!(formatter, "{owner}/{repository}")
        } else {
            write!(formatter, "{owner}/{repository}@{revision}")
        }
    }
}

fn is_plain_name(text: &str) -> bool {
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    (1..=200).contains(&text.len()) && !text.starts_with('.') && text.chars().all(is_allowed)
}

fn is_file_name(text: &str) -> bool {
    let is_refused = |it: char| it.is_control() || "\\:*?\"<>|".contains(it);
    (1..=200).contains(&text.len()) && !text.starts_with('.') && !text.contains(is_refused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ModelReference, CatalogError> {
        ModelReference::parse(text, &Catalog::builtin())
    }

    fn hub(repository: &str, revision: &str, file: &str) -> ModelReference {
        ModelReference::Hub(HubFile::new(repository, revision, file).unwrap())
    }

    #[test]
    fn a_name_an_alias_and_the_word_default_lead_to_a_card() {
        let catalog = Catalog::builtin();
        let card = catalog.default_card();
        let names = card.aliases.iter().chain([&card.name]).map(String::as_str);
        for name in names.chain(["default", &card.name.to_uppercase()]) {
            assert_eq!(
                parse(name).unwrap(),
                ModelReference::Card(card.name.clone()),
                "{name}"
            );
        }
    }

    #[test]
    fn a_hub_reference_has_repository_revision_and_file() {
        assert_eq!(
            parse("Org/Repo:a.gguf").unwrap(),
            hub("Org/Repo", "main", "a.gguf")
        );
        assert_eq!(
            parse("o/r@v1.0:x/a b.gguf").unwrap(),
            hub("o/r", "v1.0", "x/a b.gguf")
        );
        assert_eq!(
            parse("o/r@refs/pr/1:a.gguf").unwrap(),
            hub("o/r", "refs/pr/1", "a.gguf")
        );
    }

    #[test]
    fn what_ends_in_gguf_or_exists_is_a_path() {
        for text in [
            "model.gguf",
            "/a/b.GGUF",
            "./o:r.gguf",
            "o/../r:a.gguf",
            "a/b/c:d.gguf",
        ] {
            assert_eq!(
                parse(text).unwrap(),
                ModelReference::Path(text.into()),
                "{text}"
            );
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = file.path().to_str().unwrap();
        assert_eq!(parse(text).unwrap(), ModelReference::Path(text.into()));
    }

    #[test]
    fn anything_else_is_told_the_known_names_and_the_forms() {
        for text in [
            "",
            "nope",
            "o/r/s",
            "o/r:a.bin",
            "o/r@:a",
            ":a",
            "o/r:../a.bin",
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(
                message.contains(&Catalog::builtin().default_card().name),
                "{message}"
            );
            assert!(message.contains("HUB/REPO:FILE.gguf"), "{message}");
        }
    }

    #[test]
    fn a_repository_without_a_file_is_a_folder_of_the_hub() {
        let folder = |repository: &str, revision: &str| {
            ModelReference::HubFolder(HubFolder::new(repository, revision).unwrap())
        };
        assert_eq!(parse("Org/Repo").unwrap(), folder("Org/Repo", "main"));
        assert_eq!(parse("o/r@v1.0").unwrap(), folder("o/r", "v1.0"));
        assert_eq!(
            HubFolder::parse("o/r@v1.0").unwrap().to_string(),
            "o/r@v1.0"
        );
        let local = tempfile::tempdir().unwrap();
        let text = local.path().to_str().unwrap();
        assert!(parse(text).is_err());
        std::fs::write(local.path().join(DESCRIPTION), "{}").unwrap();
        assert_eq!(parse(text).unwrap(), ModelReference::Path(text.into()));
    }

    #[test]
    fn a_part_leads_to_all_parts() {
        let files = |file: &str| {
            let parts = HubFile::new("o/r", "main", file).unwrap().parts();
            parts.into_iter().map(|it| it.file).collect::<Vec<_>>()
        };
        let all = ["x/a-00001-of-00002.gguf", "x/a-00002-of-00002.gguf"];
        assert_eq!(files(all[0]), all);
        assert_eq!(files(all[1]), all);
        for single in [
            "a.gguf",
            "a-00003-of-00002.gguf",
            "a-00000-of-00002.gguf",
            "a-1-of-2.gguf",
            "a-00001-of-99999.gguf",
            "-of-.gguf",
        ] {
            assert_eq!(files(single), [single]);
        }
    }

    #[test]
    fn a_hub_file_never_leaves_its_folder() {
        let bad = [
            ("../r", "main", "a.gguf"),
            ("o/r", "..", "a.gguf"),
            ("o/r", "a/../b", "a.gguf"),
        ];
        let files = [
            "../a.gguf",
            "/a.gguf",
            "x//a.gguf",
            "x/./a.gguf",
            "a\\b.gguf",
            ".gguf",
        ];
        for (repository, revision, file) in bad
            .into_iter()
            .chain(files.iter().map(|file| ("o/r", "main", *file)))
        {
            assert!(
                HubFile::new(repository, revision, file).is_err(),
                "{repository} {file}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in ".{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_hub_file_is_read_as_it_is_written(
            text in "[a-z]{1,5}/[a-z.]{1,5}(@[a-z/]{1,6})?:[a-z/. ]{0,9}\\.gguf"
        ) {
            if let Some(file) = HubFile::parse(&text) {
                prop_assert_eq!(HubFile::parse(&file.to_string()), Some(file));
            }
        }
    }
}
