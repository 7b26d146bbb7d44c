//! Logits to token: a mask, penalties, temperature, top-k, top-p, min-p, a seeded draw, log-probabilities.
//!
//! The order, which decides what the parameters mean together:
//!
//! 1. Log-probabilities are read off the model's own distribution, before anything changes it.
//! 2. A mask takes away what may not be drawn: those logits become minus infinity.
//! 3. Penalties change the logits: repetition, then presence and frequency.
//! 4. A temperature of zero takes the largest logit, the lowest id among equals, and ends here.
//! 5. Temperature divides the logits.
//! 6. Top-k keeps the most likely tokens, the lowest ids among equals.
//! 7. Top-p keeps the fewest of *those* whose share of their sum reaches it.
//! 8. Min-p drops what is too unlikely beside the most likely token.
//! 9. A number made from the seed and the position picks one of what is left.
//!
//! vLLM differs in one place: it applies min-p before top-k and top-p, so that there top-p's sum
//! is over what min-p left. Each of the three keeps a front part of the ranking, so the order
//! matters for that sum alone.
//!
//! A logit that is not a number counts as minus infinity, and minus infinity is never drawn. If
//! nothing else is there, the draw is token 0: the caller's device is broken then, and says so.
//!
//! *Why no sort:* a vocabulary has up to 152 thousand entries and a step draws for every sequence.
//! Each cut is a threshold found by selection, so the cost is a few passes over the logits.

mod exponential;
mod generator;
mod logprobs;
mod masking;
mod penalties;
mod rank;
mod sampler;
mod truncation;

pub use generator::{random_bits, random_unit};
pub use sampler::{DrawContext, Sampler};
