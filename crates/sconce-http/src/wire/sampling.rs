//! How tokens are drawn, as far as dialects say it alike.

use sconce_domain::Truncation;

use super::fields::Fields;
use crate::error::HttpError;

/// How a distribution is cut; where nothing is said, as `usual` has it.
pub(crate) fn take_truncation(
    fields: &mut Fields,
    usual: Truncation,
) -> Result<Truncation, HttpError> {
    let off = Truncation::default();
    let top_k = fields.integer("top_k", -1..=i64::from(u32::MAX))?;
    let top_p = fields.number("top_p", 0.0..=1.0)?.unwrap_or(usual.top_p);
    if top_p == 0.0 {
        let message = "`top_p` must be above 0; for the likeliest token only, set `temperature` 0";
        return Err(HttpError::field("top_p", message));
    }
    let typical_p = fields
        .number("typical_p", 0.0..=1.0)?
        .unwrap_or(usual.typical_p);
    if typical_p == 0.0 {
        let message = "`typical_p` must be above 0; 1 keeps all";
        return Err(HttpError::field("typical_p", message));
    }
    Ok(Truncation {
        // Some clients say -1 for "all", others 0.
        top_k: top_k.map_or(usual.top_k, |it| u32::try_from(it).unwrap_or(off.top_k)),
        top_p,
        min_p: fields.number("min_p", 0.0..=1.0)?.unwrap_or(usual.min_p),
        typical_p,
    })
}

/// Any 64 bits will do; a negative seed is as good as another.
pub(crate) fn take_seed(fields: &mut Fields) -> Result<Option<u64>, HttpError> {
    match fields.take("seed") {
        None => Ok(None),
        Some(value) => match (value.as_u64(), value.as_i64()) {
            (Some(seed), _) => Ok(Some(seed)),
            (None, Some(seed)) => Ok(Some(seed as u64)),
            (None, None) => Err(fields.wrong("seed", "be a whole number of 64 bits", &value)),
        },
    }
}
