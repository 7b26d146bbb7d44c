//! `GET /v1/models` and `GET /v1/models/{name}` for clients that send `anthropic-version`.

use std::time::{Duration, UNIX_EPOCH};

use sconce_pipeline::ModelEntry;
use serde::Serialize;

use crate::error::HttpError;

/// Models of a page, as Anthropic bounds them.
const PAGE_MAX: usize = 1000;
const PAGE_USUAL: usize = 20;

/// Which models are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRequest {
    limit: usize,
    /// The model before the first, or behind the last.
    after: Option<String>,
    before: Option<String>,
}

/// A model.
#[derive(Debug, Serialize)]
pub(crate) struct ModelCard {
    r#type: &'static str,
    id: String,
    display_name: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_input_tokens: Option<u32>,
}

/// Some models, in their order.
#[derive(Debug, Serialize)]
pub(crate) struct ModelPage {
    data: Vec<ModelCard>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

/// Reads what stands behind the question mark.
pub(crate) fn parse_page(pairs: &[(String, String)]) -> Result<PageRequest, HttpError> {
    let mut page = PageRequest {
        limit: PAGE_USUAL,
        after: None,
        before: None,
    };
    for (name, value) in pairs {
        match name.as_str() {
            "limit" => {
                let limit = value.parse().ok().filter(|it| (1..=PAGE_MAX).contains(it));
                page.limit = limit.ok_or_else(|| {
                    let message = format!("`limit` must be a whole number from 1 to {PAGE_MAX}");
                    HttpError::field("limit", message)
                })?;
            }
            "after_id" => page.after = Some(value.clone()),
            "before_id" => page.before = Some(value.clone()),
            _ => {}
        }
    }
    Ok(page)
}

impl ModelPage {
    pub(crate) fn of(entries: Vec<ModelEntry>, page: &PageRequest) -> Self {
        let place = |name: &String| entries.iter().position(|it| it.name == *name);
        let after = page.after.as_ref().and_then(place).map_or(0, |it| it + 1);
        let before = page.before.as_ref().and_then(place);
        let before = before.unwrap_or(entries.len());
        let range = match &page.before {
            // The page that ends before a model is the one nearest to it.
            Some(_) => before.saturating_sub(page.limit).max(after)..before,
            None => after..before.min(after + page.limit),
        };
        let has_more = match &page.before {
            Some(_) => range.start > after,
            None => range.end < before,
        };
        let chosen = entries.get(range).unwrap_or_default();
        let data: Vec<ModelCard> = chosen.iter().cloned().map(ModelCard::from).collect();
        Self {
            first_id: data.first().map(|it| it.id.clone()),
            last_id: data.last().map(|it| it.id.clone()),
            data,
            has_more,
        }
    }
}

impl From<ModelEntry> for ModelCard {
    fn from(entry: ModelEntry) -> Self {
        let created = UNIX_EPOCH + Duration::from_secs(entry.created_s);
        Self {
            r#type: "model",
            id: entry.name.clone(),
            display_name: entry.name,
            created_at: humantime::format_rfc3339_seconds(created).to_string(),
            max_input_tokens: entry.context.map(|it| it.0),
        }
    }
}
