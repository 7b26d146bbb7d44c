//! `sconce models`: what there is, fetching it, checking it.

use anyhow::{Context, Result, bail};
use sconce_catalog::{Catalog, ModelCard};

use crate::arguments::{FetchArguments, ModelsAction};
use crate::fetch::{self, Display};
use crate::output::{bytes_text, say};

/// Does what was asked.
pub(crate) async fn run(action: ModelsAction, fetching: &FetchArguments) -> Result<()> {
    match action {
        ModelsAction::List => list(fetching),
        ModelsAction::Pull { model } => {
            let resolved = fetch::resolve(&model, fetching).await?;
            say(&format!(
                "{} is at {}",
                resolved.name,
                resolved.path.display()
            ));
            Ok(())
        }
        ModelsAction::Verify { model } => verify(model.as_deref(), fetching).await,
    }
}

fn list(fetching: &FetchArguments) -> Result<()> {
    let (catalog, cache) = (Catalog::builtin(), fetch::cache(fetching)?);
    let width = catalog
        .cards()
        .iter()
        .map(|card| card.name.len())
        .max()
        .unwrap_or(0);
    for card in catalog.cards() {
        let here = if catalog.is_cached(card, &cache) {
            "here"
        } else {
            "not fetched"
        };
        let mark = if card.default { " (default)" } else { "" };
        let (size, licence) = (bytes_text(card.bytes), &card.licence);
        say(&format!(
            "{:width$}  {size:>8}  {licence}  {here:11}  {}{mark}",
            card.name, card.description
        ));
    }
    Ok(())
}

async fn verify(model: Option<&str>, fetching: &FetchArguments) -> Result<()> {
    let (catalog, cache) = (Catalog::builtin(), fetch::cache(fetching)?);
    let cards: Vec<&ModelCard> = match model {
        Some(name) => vec![catalog.find(name).with_context(|| {
            let known: Vec<_> = catalog
                .cards()
                .iter()
                .map(|card| card.name.as_str())
                .collect();
            format!(
                "no model is called {name:?}; there are {}",
                known.join(", ")
            )
        })?],
        None => catalog
            .cards()
            .iter()
            .filter(|card| cache.card_path(card).exists())
            .collect(),
    };
    if cards.is_empty() {
        bail!("no model has been fetched yet: fetch one with `sconce models pull NAME`");
    }
    for card in cards {
        let mut display = Display::default();
        let verified = catalog
            .verify(card, &cache, &mut |step| display.show(step))
            .await;
        display.clear();
        say(&format!(
            "{}: sha256 is right, {}",
            card.name,
            verified?.display()
        ));
    }
    Ok(())
}
