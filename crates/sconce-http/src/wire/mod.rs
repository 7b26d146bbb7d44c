//! What all dialects read and write alike: strict JSON, fields that are taken one by one.

pub(crate) mod fields;
pub(crate) mod foreign;
pub(crate) mod functions;
pub(crate) mod parsed;
pub(crate) mod sampling;
pub(crate) mod stop_strings;
pub(crate) mod strict_json;
pub(crate) mod user;
