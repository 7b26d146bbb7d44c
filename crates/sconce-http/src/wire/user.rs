//! Whom a client says it asks for.

use super::fields::Fields;
use crate::error::HttpError;

/// Bytes of it; it goes into the record.
const USER_BYTES_MAX: usize = 512;

/// The text in the field `name`, if it is short enough.
pub(crate) fn take_user(fields: &mut Fields, name: &str) -> Result<Option<String>, HttpError> {
    let user = fields.text(name)?;
    match user {
        Some(text) if text.len() > USER_BYTES_MAX => {
            let param = fields.path(name);
            let message = format!("`{param}` must have at most {USER_BYTES_MAX} bytes");
            Err(HttpError::field(param, message))
        }
        user => Ok(user),
    }
}
