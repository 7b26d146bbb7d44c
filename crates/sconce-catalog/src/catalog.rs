//! All cards, and the way from a user's reference to a file that can be loaded.

use std::path::PathBuf;

use crate::fetch::Wanted;
use crate::folder::{self, weights_in};
use crate::reference::is_model_folder;
use crate::slot::{Expected, Slot};
use crate::{
    CatalogError, FetchSettings, HubFile, Integrity, ModelCache, ModelCard, ModelReference,
    ProgressSink, Source,
};

/// The cards of `models/`: name of the file without its ending, and content.
const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/cards.rs"));

/// The models that are known by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    cards: Vec<ModelCard>,
    default_index: usize,
}

/// A model's file on this machine, ready to be loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedModel {
    /// The file.
    pub path: PathBuf,
    /// The name that clients use.
    pub name: String,
    /// The card, if the model has one.
    pub card: Option<ModelCard>,
    /// How much is known about the file's content.
    pub integrity: Integrity,
}

impl Catalog {
    /// The cards that the binary carries.
    ///
    /// # Panics
    /// If a card in `models/` is wrong, which a test finds.
    #[must_use]
    pub fn builtin() -> Self {
        Self::parse(BUILTIN).expect("a test reads every card that is built in")
    }

    /// Reads cards, each with the name that errors give it, and checks that they go together.
    ///
    /// # Errors
    /// [`CatalogError::Card`] if a card is wrong, a name is taken twice, or not exactly one card
    /// is the default.
    pub fn parse(texts: &[(&str, &str)]) -> Result<Self, CatalogError> {
        let mut cards: Vec<ModelCard> = Vec::new();
        for (card, text) in texts {
            let parsed = ModelCard::parse(card, text)?;
            let is_taken = |name: &&str| cards.iter().any(|it| it.names().any(|it| it == *name));
            if let Some(name) = parsed.names().find(is_taken) {
                let reason = format!("the name {name:?} belongs to another card");
                return Err(CatalogError::Card {
                    card: (*card).to_owned(),
                    reason,
                });
            }
            cards.push(parsed);
        }
        let defaults: Vec<usize> = (0..cards.len())
            .filter(|index| cards[*index].default)
            .collect();
        match defaults[..] {
            [default_index] => Ok(Self {
                cards,
                default_index,
            }),
            _ => Err(CatalogError::Card {
                card: texts
                    .iter()
                    .map(|(card, _)| *card)
                    .collect::<Vec<_>>()
                    .join(", "),
                reason: format!("{} cards are the default where one must be", defaults.len()),
            }),
        }
    }

    /// All cards, by name.
    #[must_use]
    pub fn cards(&self) -> &[ModelCard] {
        &self.cards
    }

    /// The model when none is named.
    #[must_use]
    pub fn default_card(&self) -> &ModelCard {
        &self.cards[self.default_index]
    }

    /// The card with this name or alias, or the default's for `default`; case does not matter.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ModelCard> {
        let name = name.to_lowercase();
        if name == "default" {
            return Some(self.default_card());
        }
        self.cards
            .iter()
            .find(|card| card.names().any(|it| it == name))
    }

    /// Every name, with its aliases in brackets, for people.
    pub(crate) fn known_names(&self) -> String {
        let described = |card: &ModelCard| match card.aliases.is_empty() {
            true => card.name.clone(),
            false => format!("{} ({})", card.name, card.aliases.join(", ")),
        };
        self.cards
            .iter()
            .map(described)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Finds the model's file, and fetches it if it is not there. Dropping the future stops a
    /// download, which the next call takes up again.
    ///
    /// # Errors
    /// If there is no such model, its file is not what it should be, or no source gives it.
    pub async fn resolve(
        &self,
        reference: &ModelReference,
        cache: &ModelCache,
        settings: &FetchSettings,
        progress: ProgressSink<'_>,
    ) -> Result<ResolvedModel, CatalogError> {
        match reference {
            ModelReference::Path(path) => resolve_path(path.clone(), reference.served_name()),
            ModelReference::Card(name) => {
                let card = self.find(name).ok_or_else(|| CatalogError::UnknownModel {
                    text: name.clone(),
                    known: self.known_names(),
                })?;
                let integrity = obtain_all(card, cache, settings, progress).await?;
                Ok(ResolvedModel {
                    path: cache.card_path(card),
                    name: card.name.clone(),
                    card: Some(card.clone()),
                    integrity,
                })
            }
            ModelReference::HubFolder(folder) => {
                let fetched = folder::obtain(folder, cache, settings, progress).await?;
                Ok(ResolvedModel {
                    path: fetched.path,
                    name: folder.to_string(),
                    card: None,
                    integrity: fetched.integrity,
                })
            }
            ModelReference::Hub(file) => resolve_hub_file(file, cache, settings, progress).await,
        }
    }

    /// Whether the card's files are in the cache, whole and checked. Reads no content.
    #[must_use]
    pub fn is_cached(&self, card: &ModelCard, cache: &ModelCache) -> bool {
        let mut files = files_of(card, cache).into_iter();
        files.all(|(slot, expected)| slot.is_stamped(expected))
    }

    /// Reads the card's files in full, whatever was noted about them.
    ///
    /// # Errors
    /// [`CatalogError::Missing`], [`CatalogError::WrongSize`] or [`CatalogError::WrongSha256`].
    pub async fn verify(
        &self,
        card: &ModelCard,
        cache: &ModelCache,
        progress: ProgressSink<'_>,
    ) -> Result<PathBuf, CatalogError> {
        for (slot, expected) in files_of(card, cache) {
            if !slot.path().is_file() {
                return Err(CatalogError::Missing {
                    name: card.name.clone(),
                    path: slot.path(),
                });
            }
            slot.check(expected, progress).await?;
        }
        Ok(cache.card_path(card))
    }
}

/// Fetches a file, and where it is a part of a model, all parts.
async fn resolve_hub_file(
    file: &HubFile,
    cache: &ModelCache,
    settings: &FetchSettings,
    progress: ProgressSink<'_>,
) -> Result<ResolvedModel, CatalogError> {
    let parts = file.parts();
    let mut integrity = Integrity::Sha256;
    for part in &parts {
        let found = obtain_hub_file(part, cache, settings, progress).await?;
        integrity = integrity.max(found);
    }
    Ok(ResolvedModel {
        path: cache.hub_path(parts.first().unwrap_or(file)),
        name: file.to_string(),
        card: None,
        integrity,
    })
}

/// Finds a file of the hub in the cache, or fetches it.
pub(crate) async fn obtain_hub_file(
    file: &HubFile,
    cache: &ModelCache,
    settings: &FetchSettings,
    progress: ProgressSink<'_>,
) -> Result<Integrity, CatalogError> {
    let wanted = Wanted {
        name: &file.to_string(),
        slot: cache.hub_slot(file),
        expected: Expected::default(),
        sources: &[Source::Hub(file.clone())],
        shared_wheels: None,
    };
    wanted.obtain(settings, progress).await
}

/// The place and the content of each of the card's files, the main one first.
fn files_of(card: &ModelCard, cache: &ModelCache) -> Vec<(Slot, Expected)> {
    let expected = |bytes, sha256| Expected {
        bytes: Some(bytes),
        sha256: Some(sha256),
    };
    let main = (cache.card_slot(card), expected(card.bytes, card.sha256));
    let companions = card.companions.iter().map(|it| {
        let slot = cache.companion_slot(card, &it.file);
        (slot, expected(it.bytes, it.sha256))
    });
    std::iter::once(main).chain(companions).collect()
}

/// Finds or fetches all of the card's files. What is told is the main file's integrity.
async fn obtain_all(
    card: &ModelCard,
    cache: &ModelCache,
    settings: &FetchSettings,
    progress: ProgressSink<'_>,
) -> Result<Integrity, CatalogError> {
    let shared_wheels = (!card.companions.is_empty()).then(|| cache.shared_wheels(card));
    let places = card.companions.iter().map(|companion| {
        let beside = card.sources.iter();
        beside.filter_map(|it| it.beside(&companion.file)).collect()
    });
    let sources: Vec<Vec<Source>> = std::iter::once(card.sources.clone())
        .chain(places)
        .collect();
    let mut told = None;
    for ((slot, expected), sources) in files_of(card, cache).into_iter().zip(&sources) {
        let wanted = Wanted {
            name: &card.name,
            slot,
            expected,
            sources,
            shared_wheels: shared_wheels.clone(),
        };
        let integrity = wanted.obtain(settings, progress).await?;
        told.get_or_insert(integrity);
    }
    if let Some(folder) = shared_wheels.filter(|it| it.exists())
        && let Err(error) = std::fs::remove_dir_all(&folder)
    {
        tracing::warn!(path = %folder.display(), %error, "wheels are left behind");
    }
    Ok(told.unwrap_or(Integrity::Unchecked))
}

fn resolve_path(mut path: PathBuf, name: String) -> Result<ResolvedModel, CatalogError> {
    if path.is_dir() {
        path = weights_in(path);
    }
    if !path.is_file() && !is_model_folder(&path) {
        return Err(CatalogError::NoSuchFile { path });
    }
    Ok(ResolvedModel {
        path,
        name,
        card: None,
        integrity: Integrity::Unchecked,
    })
}
