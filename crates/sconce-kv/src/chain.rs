//! Names for the content of full blocks: one hash chain a tenant and prefix.

use sconce_domain::{TenantId, TokenId};
use sha2::{Digest, Sha256};

/// Set apart so that no tenant's name can spell a block.
const ROOT: [u8; 1] = [0];
const BLOCK: [u8; 1] = [1];

/// Names everything that a block's keys and values depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockKey([u8; 32]);

impl BlockKey {
    /// The key before a tenant's first block.
    pub(crate) fn root(tenant: &TenantId) -> Self {
        Self(
            Sha256::new()
                .chain_update(ROOT)
                .chain_update(tenant.0.as_bytes())
                .finalize()
                .into(),
        )
    }

    /// The key of the block that follows this one and holds `tokens`.
    pub(crate) fn child(self, tokens: &[TokenId]) -> Self {
        let mut hash = Sha256::new().chain_update(BLOCK).chain_update(self.0);
        for token in tokens {
            hash.update(token.0.to_le_bytes());
        }
        Self(hash.finalize().into())
    }
}
