//! A mask is kept, changes no report and leaves no trace.

use proptest::prelude::*;
use sconce_domain::{
    Penalties, Sampling, TokenBias, TokenCount, TokenId, TokenMask, Truncation, Withheld,
};
use sconce_sampling::{DrawContext, Sampler};

fn warm(seed: u64) -> Sampling {
    Sampling {
        temperature: 1.0,
        seed,
        ..Sampling::greedy()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_what_the_mask_allows_is_drawn(
        logits in prop::collection::vec(-9.0_f32..9.0, 1..200),
        allowed in prop::collection::btree_set(0_u32..200, 1..20),
        seed in any::<u64>(),
        temperature in prop_oneof![Just(0.0_f32), 0.1_f32..2.0],
        top_k in 0_u32..5,
        withheld_from in 0_usize..4,
    ) {
        let mask: TokenMask = allowed.iter().copied().map(TokenId).collect();
        let truncation = Truncation { top_k, top_p: 0.9, min_p: 0.05, typical_p: 0.8 };
        let penalties = Penalties { repetition: 1.3, presence: 0.5, frequency: 0.1 };
        // Neither makes a draw leave the mask: not what is wished for, nor what must not end yet.
        let bias = (0..200).map(|it| TokenBias { token: TokenId(it), bias: 100.0 });
        let bias = bias.filter(|it| !mask.allows(it.token)).collect();
        let tokens = allowed.iter().copied().skip(withheld_from).map(TokenId).collect();
        let withheld = Withheld { tokens, generated_min: TokenCount(20) };
        let sampling =
            Sampling { temperature, truncation, penalties, bias, withheld, ..warm(seed) };
        let generated: Vec<TokenId> = (0..9).map(TokenId).collect();
        let context = DrawContext {
            sampling: &sampling, prompt: &[], generated: &generated, mask: Some(&mask),
        };
        let mut spent = logits.clone();
        let drawn = Sampler::new().draw(&mut spent, &context).token;
        prop_assert_eq!(&spent, &logits);
        if allowed.iter().any(|it| (*it as usize) < logits.len()) {
            prop_assert!(mask.allows(drawn));
        }
    }

    #[test]
    fn a_mask_of_everything_changes_nothing(
        logits in prop::collection::vec(-9.0_f32..9.0, 1..200),
        seed in any::<u64>(),
    ) {
        let (everything, sampling) = (TokenMask::from_words(vec![u32::MAX; 7]), warm(seed));
        let free = DrawContext { sampling: &sampling, prompt: &[], generated: &[], mask: None };
        let masked = DrawContext { mask: Some(&everything), ..free };
        let mut sampler = Sampler::new();
        let drawn = sampler.draw(&mut logits.clone(), &masked);
        prop_assert_eq!(drawn, sampler.draw(&mut logits.clone(), &free));
    }
}

#[test]
fn the_report_is_of_the_distribution_before_the_mask() {
    let mask: TokenMask = [TokenId(2)].into_iter().collect();
    let sampling = Sampling {
        logprobs: Some(1),
        ..Sampling::greedy()
    };
    let free = DrawContext {
        sampling: &sampling,
        prompt: &[],
        generated: &[],
        mask: None,
    };
    let masked = DrawContext {
        mask: Some(&mask),
        ..free
    };
    let mut logits = [3.0, 1.0, 2.0];
    let mut sampler = Sampler::new();
    let (free, masked) = (
        sampler.draw(&mut logits, &free),
        sampler.draw(&mut logits, &masked),
    );
    assert_eq!((free.token, masked.token), (TokenId(0), TokenId(2)));
    let (free, masked) = (free.logprobs.unwrap(), masked.logprobs.unwrap());
    assert_eq!(free.top, masked.top);
    assert!((masked.chosen.logprob - (free.chosen.logprob - 1.0)).abs() < 1e-6);
}
