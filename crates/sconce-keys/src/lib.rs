//! Who may ask: keys, kept as hashes, and the tenants they stand for.
//!
//! A [`Secret`] is made of 32 random bytes and shown once. What is kept is its SHA-256, in a file
//! that people can read and edit. Since a secret has all the entropy of its hash, no slow hash is
//! needed, and looking a hash up takes a time that tells nothing of any secret.

mod file;
mod key;
mod ring;
mod secret;

pub use file::{KeysError, NewKey, entry_text};
pub use key::Key;
pub use ring::{Denied, KeyRing};
pub use secret::{Digest, Secret, SecretError};
