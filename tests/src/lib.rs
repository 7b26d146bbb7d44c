//! What the black-box tests stand on: golden facts, and how far two distributions are apart.

mod divergence;
mod golden;

pub use divergence::{Divergence, divergence, divergence_from, summary};
pub use golden::{
    Chat, ChatTurn, Completion, Golden, GoldenError, LikelyToken, ModelName, Position, Tokenization,
};
