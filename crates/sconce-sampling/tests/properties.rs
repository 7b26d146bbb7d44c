//! What holds for any logits and any parameters.

use proptest::prelude::*;
use sconce_domain::{
    Draw, Penalties, Sampling, TokenBias, TokenCount, TokenId, Truncation, Withheld,
};
use sconce_sampling::{DrawContext, Sampler};

fn any_logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        12 => -20.0_f32..20.0,
        4 => (-3_i8..3).prop_map(f32::from),
        1 => Just(f32::NEG_INFINITY),
        1 => Just(f32::INFINITY),
        1 => Just(f32::NAN),
        1 => any::<f32>(),
    ]
}

fn finite_logits() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(
        prop_oneof![3 => -12.0_f32..12.0, 1 => (-3_i8..3).prop_map(f32::from)],
        1..400,
    )
}

fn any_truncation() -> impl Strategy<Value = Truncation> {
    let top_k = prop_oneof![Just(0), 1_u32..20, any::<u32>()];
    let top_p = prop_oneof![Just(1.0_f32), 0.01_f32..1.0, any::<f32>()];
    let min_p = prop_oneof![Just(0.0_f32), 0.0_f32..1.0, any::<f32>()];
    let typical_p = prop_oneof![Just(1.0_f32), 0.01_f32..1.0, any::<f32>()];
    (top_k, top_p, min_p, typical_p).prop_map(|(top_k, top_p, min_p, typical_p)| Truncation {
        top_k,
        top_p,
        min_p,
        typical_p,
    })
}

fn any_bias() -> impl Strategy<Value = Vec<TokenBias>> {
    let token = prop_oneof![8 => 0_u32..300, 1 => any::<u32>()].prop_map(TokenId);
    let bias = prop_oneof![Just(-100.0_f32), -3.0_f32..3.0, any::<f32>()];
    let biased = (token, bias).prop_map(|(token, bias)| TokenBias { token, bias });
    prop::collection::vec(biased, 0..5)
}

fn any_withheld() -> impl Strategy<Value = Withheld> {
    let token = prop_oneof![8 => 0_u32..300, 1 => any::<u32>()].prop_map(TokenId);
    (prop::collection::vec(token, 0..5), 0_u32..40).prop_map(|(tokens, generated_min)| Withheld {
        tokens: tokens.into(),
        generated_min: TokenCount(generated_min),
    })
}

fn any_penalties() -> impl Strategy<Value = Penalties> {
    let repetition = prop_oneof![Just(1.0_f32), 0.5_f32..2.0, any::<f32>()];
    let added = || prop_oneof![Just(0.0_f32), -2.0_f32..2.0, any::<f32>()];
    (repetition, added(), added()).prop_map(|(repetition, presence, frequency)| Penalties {
        repetition,
        presence,
        frequency,
    })
}

fn any_sampling() -> impl Strategy<Value = Sampling> {
    let temperature = prop_oneof![Just(0.0_f32), 0.05_f32..2.0, any::<f32>()];
    let logprobs = prop::option::of(0_u8..25);
    (
        temperature,
        any_truncation(),
        any_penalties(),
        (any_bias(), any_withheld()),
        any::<u64>(),
        logprobs,
    )
        .prop_map(
            |(temperature, truncation, penalties, (bias, withheld), seed, logprobs)| Sampling {
                temperature,
                truncation,
                penalties,
                bias: bias.into(),
                withheld,
                seed,
                logprobs,
            },
        )
}

fn any_tokens() -> impl Strategy<Value = Vec<TokenId>> {
    prop::collection::vec(
        prop_oneof![0_u32..60, any::<u32>()].prop_map(TokenId),
        0..40,
    )
}

fn draw(sampler: &mut Sampler, logits: &[f32], sampling: &Sampling) -> Draw {
    let context = DrawContext {
        sampling,
        prompt: &[],
        generated: &[],
        mask: None,
    };
    sampler.draw(&mut logits.to_vec(), &context)
}

/// Ids by rank: the largest logit first, the lowest id among equals.
fn ranking(logits: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| {
        logits[*b]
            .partial_cmp(&logits[*a])
            .expect("the logits are finite")
            .then(a.cmp(b))
    });
    order
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_the_token_is_in_the_vocabulary(
        logits in prop::collection::vec(any_logit(), 0..300),
        sampling in any_sampling(),
        prompt in any_tokens(),
        generated in any_tokens(),
    ) {
        let context = DrawContext { sampling: &sampling, prompt: &prompt, generated: &generated, mask: None };
        let mut spent = logits.clone();
        let drawn = Sampler::new().draw(&mut spent, &context);
        prop_assert!((drawn.token.0 as usize) < logits.len().max(1));
        prop_assert!(spent.iter().zip(&logits).all(|(a, b)| a.to_bits() == b.to_bits()));
        let reported = drawn.logprobs.into_iter().flat_map(|it| [vec![it.chosen], it.top].concat());
        for logprob in reported {
            prop_assert!(!logprob.logprob.is_nan());
        }
    }

    #[test]
    fn what_was_drawn_before_does_not_matter(
        logits in prop::collection::vec(any_logit(), 1..300),
        sampling in any_sampling(),
        other_logits in prop::collection::vec(any_logit(), 1..300),
        other_sampling in any_sampling(),
        generated in any_tokens(),
    ) {
        let context = DrawContext { sampling: &sampling, prompt: &[], generated: &generated, mask: None };
        let alone = Sampler::new().draw(&mut logits.clone(), &context);
        let mut used = Sampler::new();
        let other = DrawContext { sampling: &other_sampling, prompt: &generated, generated: &generated, mask: None };
        let _ = used.draw(&mut other_logits.clone(), &other);
        prop_assert_eq!(used.draw(&mut logits.clone(), &context), alone);
    }

    #[test]
    fn a_temperature_of_zero_takes_the_first_of_the_largest(logits in finite_logits()) {
        let drawn = draw(&mut Sampler::new(), &logits, &Sampling::greedy());
        prop_assert_eq!(drawn.token.0 as usize, ranking(&logits)[0]);
        prop_assert_eq!(drawn.logprobs, None);
    }

    #[test]
    fn what_is_cut_off_is_never_drawn_and_what_is_left_can_be(
        logits in finite_logits(),
        top_k in 0_u32..50,
        top_p in 0.05_f32..1.2,
        min_p in 0.0_f32..1.0,
        temperature in 0.3_f32..2.0,
    ) {
        let truncation = Truncation { top_k, top_p, min_p, typical_p: 1.0 };
        let order = ranking(&logits);
        let kept = kept_by_the_definition(&logits, &order, temperature, &truncation);
        let mut sampler = Sampler::new();
        let mut worst_rank = 0;
        for seed in 0..200 {
            let sampling = Sampling { temperature, truncation, seed, ..Sampling::greedy() };
            let token = draw(&mut sampler, &logits, &sampling).token.0 as usize;
            let rank = order.iter().position(|it| *it == token).unwrap();
            prop_assert!(rank < kept, "rank {rank} drawn, {kept} kept");
            worst_rank = worst_rank.max(rank);
        }
        if kept <= 3 && min_p > 0.2 {
            prop_assert_eq!(worst_rank + 1, kept);
        }
    }

    #[test]
    fn logprobs_are_of_the_models_own_distribution(
        logits in finite_logits(),
        sampling in any_sampling(),
        generated in any_tokens(),
        count in 0_u8..25,
    ) {
        let sampling = Sampling { logprobs: Some(count), ..sampling };
        let context = DrawContext { sampling: &sampling, prompt: &[], generated: &generated, mask: None };
        let drawn = Sampler::new().draw(&mut logits.clone(), &context);
        let report = drawn.logprobs.unwrap();
        let sum: f64 = logits.iter().map(|it| f64::from(*it).exp()).sum();
        let exact = |token: TokenId| f64::from(logits[token.0 as usize]) - sum.ln();
        prop_assert_eq!(report.chosen.token, drawn.token);
        for it in report.top.iter().chain([&report.chosen]) {
            prop_assert!((f64::from(it.logprob) - exact(it.token)).abs() < 1e-5);
        }
        let top: Vec<usize> = report.top.iter().map(|it| it.token.0 as usize).collect();
        let order = ranking(&logits);
        prop_assert_eq!(&top, &order[..logits.len().min(count.into())]);
        let scored = Sampler::new().score(&logits, drawn.token, count);
        prop_assert_eq!(scored, report);
    }
}

/// A sampling that withholds `tokens` until the answer has two tokens.
fn withholding(tokens: &[u32], temperature: f32) -> Sampling {
    Sampling {
        temperature,
        withheld: Withheld {
            tokens: tokens.iter().copied().map(TokenId).collect(),
            generated_min: TokenCount(2),
        },
        ..Sampling::greedy()
    }
}

#[test]
fn what_is_withheld_can_be_drawn_once_the_answer_is_long_enough() {
    let generated = [TokenId(0); 3];
    for temperature in [0.0, 0.2] {
        let sampling = withholding(&[2], temperature);
        let drawn = [0, 1, 2, 3].map(|length| {
            let context = DrawContext {
                sampling: &sampling,
                prompt: &[],
                generated: &generated[..length],
                mask: None,
            };
            Sampler::new().draw(&mut [0.0, 8.0, 30.0], &context).token.0
        });
        assert_eq!(drawn, [1, 1, 2, 2]);
    }
}

#[test]
fn what_is_withheld_is_drawn_where_nothing_else_is_possible() {
    let logits = [f32::NEG_INFINITY, 1.0, f32::NAN, 2.0];
    for temperature in [0.0, 0.1] {
        let drawn = draw(
            &mut Sampler::new(),
            &logits,
            &withholding(&[1, 3], temperature),
        );
        assert_eq!(drawn.token, TokenId(3));
    }
}

#[test]
fn a_penalty_applies_to_the_biased_logit_and_no_bias_makes_up_for_withholding() {
    let penalties = Penalties {
        repetition: 2.0,
        ..Penalties::default()
    };
    let bias = |token: u32, bias: f32| TokenBias {
        token: TokenId(token),
        bias,
    };
    let sampling = Sampling {
        penalties,
        bias: [bias(1, 4.0), bias(2, 100.0)].into(),
        ..withholding(&[2], 0.0)
    };
    // -1 + 4 = 3 is halved; -1 doubled and then raised would be 2, above the 1.75.
    let context = DrawContext {
        sampling: &sampling,
        prompt: &[TokenId(1)],
        generated: &[],
        mask: None,
    };
    let drawn = Sampler::new().draw(&mut [1.75, -1.0, 5.0], &context);
    assert_eq!(drawn.token, TokenId(0));
}

#[test]
fn a_token_that_is_not_the_likeliest_never_looks_as_if_it_were() {
    // The logits differ in their last bit, which their logarithms of probability have no room for.
    let mut logits = vec![1.0_f32; 4096];
    logits[7] = 1.0_f32.next_up();
    let mut sampler = Sampler::new();
    let likeliest = sampler.score(&logits, TokenId(7), 1);
    assert_eq!(likeliest.chosen, likeliest.top[0]);
    let other = sampler.score(&logits, TokenId(8), 1);
    assert_eq!(other.top, likeliest.top);
    assert!(other.chosen.logprob < other.top[0].logprob);
    let unknown = sampler.score(&logits, TokenId(4096), 0);
    assert_eq!(unknown.chosen.logprob, f32::NEG_INFINITY);
}

/// How many tokens the cuts leave, computed from a full sort; generous by a rounding error.
fn kept_by_the_definition(
    logits: &[f32],
    order: &[usize],
    temperature: f32,
    truncation: &Truncation,
) -> usize {
    let top = logits[order[0]];
    let weights: Vec<f64> = order
        .iter()
        .map(|it| f64::from(((logits[*it] - top) / temperature).exp()))
        .collect();
    let by_top_k = match truncation.top_k as usize {
        0 => weights.len(),
        count => count.min(weights.len()),
    };
    let total: f64 = weights[..by_top_k].iter().sum();
    let mut passed = 0.0;
    let by_top_p = weights[..by_top_k].iter().position(|it| {
        passed += it;
        passed >= f64::from(truncation.top_p) * total * (1.0 + 1e-12)
    });
    let by_min_p = weights
        .iter()
        .filter(|it| **it >= f64::from(truncation.min_p))
        .count();
    by_top_p.map_or(by_top_k, |it| it + 1).min(by_min_p).max(1)
}

#[test]
fn one_position_draws_the_same_whatever_came_between() {
    let sampling = Sampling {
        temperature: 1.0,
        seed: 42,
        ..Sampling::greedy()
    };
    let mut logits = [0.0; 100];
    let generated: Vec<TokenId> = (0..50).map(TokenId).collect();
    let mut sampler = Sampler::new();
    let mut run = || -> Vec<TokenId> {
        (0..50)
            .map(|position| {
                let context = DrawContext {
                    sampling: &sampling,
                    prompt: &[],
                    generated: &generated[..position],
                    mask: None,
                };
                sampler.draw(&mut logits, &context).token
            })
            .collect()
    };
    let first = run();
    assert_eq!(run(), first);
    assert!(first.iter().any(|it| *it != first[0]));
}

#[test]
fn logits_without_a_possible_token_draw_token_0() {
    for logits in [vec![], vec![f32::NAN; 5], vec![f32::NEG_INFINITY; 5]] {
        for temperature in [0.0, 1.0] {
            let truncation = Truncation {
                top_k: 3,
                top_p: 0.5,
                min_p: 0.1,
                typical_p: 0.5,
            };
            let sampling = Sampling {
                temperature,
                truncation,
                logprobs: Some(3),
                ..Sampling::greedy()
            };
            let drawn = draw(&mut Sampler::new(), &logits, &sampling);
            assert_eq!(drawn.token, TokenId(0));
            let report = drawn.logprobs.unwrap();
            assert_eq!(report.chosen.logprob, f32::NEG_INFINITY);
            assert!(report.top.is_empty());
        }
    }
}

#[test]
fn infinite_logits_share_all_the_probability() {
    let logits = [0.0, f32::INFINITY, 1.0, f32::INFINITY];
    for seed in 0..50 {
        let sampling = Sampling {
            temperature: 1.0,
            seed,
            logprobs: Some(3),
            ..Sampling::greedy()
        };
        let drawn = draw(&mut Sampler::new(), &logits, &sampling);
        assert!(matches!(drawn.token.0, 1 | 3));
        let report = drawn.logprobs.unwrap();
        assert!((report.chosen.logprob - 0.5_f32.ln()).abs() < 1e-6);
        assert_eq!(report.top[2].logprob, f32::NEG_INFINITY);
    }
}

#[test]
fn a_penalty_changes_the_draw_but_not_the_report() {
    let penalties = Penalties {
        presence: 5.0,
        ..Penalties::default()
    };
    let sampling = Sampling {
        penalties,
        logprobs: Some(2),
        ..Sampling::greedy()
    };
    let generated = [TokenId(1)];
    let context = DrawContext {
        sampling: &sampling,
        prompt: &[],
        generated: &generated,
        mask: None,
    };
    let drawn = Sampler::new().draw(&mut [1.0, 3.0, 0.0], &context);
    assert_eq!(drawn.token, TokenId(0));
    assert_eq!(drawn.logprobs.unwrap().top[0].token, TokenId(1));
}
