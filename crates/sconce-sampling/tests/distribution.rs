//! What is drawn, over many positions, against the exact probabilities.

use sconce_domain::{Sampling, TokenBias, TokenCount, TokenId, Truncation, Withheld};
use sconce_sampling::{DrawContext, Sampler, random_bits};

const DRAWS: usize = 40_000;
const LOGITS: [f32; 8] = [1.0, 3.0, 2.5, -1.0, 2.5, 0.0, f32::NEG_INFINITY, 1.8];

/// The exact probabilities under `truncation`, the slow and obvious way.
fn exact(logits: &[f32], temperature: f64, truncation: &Truncation) -> Vec<f64> {
    let weights: Vec<f64> = logits
        .iter()
        .map(|it| (f64::from(*it) / temperature).exp())
        .collect();
    let mut order: Vec<usize> = (0..logits.len()).filter(|it| weights[*it] > 0.0).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b)));
    if truncation.top_k > 0 {
        order.truncate(truncation.top_k as usize);
    }
    let total: f64 = order.iter().map(|it| weights[*it]).sum();
    let mut passed = 0.0;
    let needed = order.iter().position(|it| {
        passed += weights[*it];
        passed >= f64::from(truncation.top_p) * total - 1e-9
    });
    order.truncate(needed.map_or(order.len(), |it| it + 1));
    let likeliest = weights[order[0]];
    order.retain(|it| weights[*it] >= f64::from(truncation.min_p) * likeliest);
    keep_typical(&mut order, &weights, f64::from(truncation.typical_p));
    let total: f64 = order.iter().map(|it| weights[*it]).sum();
    (0..logits.len())
        .map(|it| {
            if order.contains(&it) {
                weights[it] / total
            } else {
                0.0
            }
        })
        .collect()
}

fn counts(sampling: &Sampling) -> Vec<usize> {
    let mut sampler = Sampler::new();
    let mut logits = LOGITS;
    let generated = vec![TokenId(0); DRAWS];
    let mut counts = vec![0; LOGITS.len()];
    for position in 0..DRAWS {
        let context = DrawContext {
            sampling,
            prompt: &[],
            generated: &generated[..position],
            mask: None,
        };
        counts[sampler.draw(&mut logits, &context).token.0 as usize] += 1;
    }
    counts
}

/// Fails if `counts` is a rarer outcome than one in about ten thousand, or impossible.
fn check(counts: &[usize], probabilities: &[f64], what: &str) {
    let draws: usize = counts.iter().sum();
    let mut chi_square = 0.0;
    let mut kinds = 0;
    for (token, (count, probability)) in counts.iter().zip(probabilities).enumerate() {
        if *probability == 0.0 {
            assert_eq!(*count, 0, "{what}: token {token} is cut off, yet drawn");
            continue;
        }
        let expected = probability * draws as f64;
        assert!(expected > 5.0, "{what}: too few draws for this test");
        chi_square += (*count as f64 - expected).powi(2) / expected;
        kinds += 1;
    }
    let limit = chi_square_limit(kinds - 1);
    assert!(
        chi_square <= limit,
        "{what}: chi-square {chi_square:.1}, {limit:.1} at most: {counts:?}"
    );
}

/// The value that chi-square exceeds once in ten thousand, nearly.
/// Source: Wilson and Hilferty 1931, "The Distribution of Chi-Square".
fn chi_square_limit(degrees: usize) -> f64 {
    const Z_AT_ONE_IN_TEN_THOUSAND: f64 = 3.719;
    if degrees == 0 {
        return 0.0;
    }
    let degrees = degrees as f64;
    let ninth = 2.0 / (9.0 * degrees);
    degrees * (1.0 - ninth + Z_AT_ONE_IN_TEN_THOUSAND * ninth.sqrt()).powi(3)
}

/// By the definition: surprises, their expectation, a full sort.
fn keep_typical(order: &mut Vec<usize>, weights: &[f64], typical_p: f64) {
    let total: f64 = order.iter().map(|it| weights[*it]).sum();
    let probability = |token: usize| weights[token] / total;
    let surprise = |token: usize| -probability(token).ln();
    let entropy: f64 = order
        .iter()
        .map(|it| probability(*it) * surprise(*it))
        .sum();
    let distance = |token: usize| (surprise(token) - entropy).abs();
    order.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)).then(a.cmp(b)));
    let mut passed = 0.0;
    let needed = order.iter().position(|it| {
        passed += probability(*it);
        passed >= typical_p - 1e-9
    });
    order.truncate(needed.map_or(order.len(), |it| it + 1));
}

fn draws_follow(temperature: f32, truncation: Truncation) {
    for seed in [0, 1, 0xDEAD_BEEF_0000_0001] {
        let sampling = Sampling {
            temperature,
            truncation,
            seed,
            ..Sampling::greedy()
        };
        let probabilities = exact(&LOGITS, f64::from(temperature), &truncation);
        check(&counts(&sampling), &probabilities, &format!("{sampling:?}"));
    }
}

#[test]
fn temperature_alone_draws_the_softmax() {
    for temperature in [0.7, 1.0, 1.7] {
        draws_follow(temperature, Truncation::default());
    }
}

#[test]
fn a_huge_temperature_draws_what_is_possible_evenly() {
    draws_follow(f32::MAX, Truncation::default());
}

#[test]
fn top_k_draws_from_the_most_likely() {
    for top_k in [1, 2, 3, 4, 8, 100] {
        draws_follow(
            1.0,
            Truncation {
                top_k,
                ..Truncation::default()
            },
        );
    }
}

#[test]
fn top_p_draws_from_the_nucleus() {
    for top_p in [0.1, 0.5, 0.7, 0.9, 0.99] {
        draws_follow(
            1.0,
            Truncation {
                top_p,
                ..Truncation::default()
            },
        );
    }
}

#[test]
fn min_p_draws_from_what_is_likely_enough() {
    for min_p in [0.05, 0.2, 0.5, 1.0] {
        draws_follow(
            1.0,
            Truncation {
                min_p,
                ..Truncation::default()
            },
        );
    }
}

#[test]
fn the_cuts_work_together() {
    draws_follow(
        1.3,
        Truncation {
            top_k: 5,
            top_p: 0.8,
            min_p: 0.3,
            typical_p: 1.0,
        },
    );
    draws_follow(
        0.9,
        Truncation {
            top_k: 4,
            top_p: 0.95,
            min_p: 0.1,
            typical_p: 0.6,
        },
    );
}

#[test]
fn typical_p_draws_from_what_surprises_as_expected() {
    for typical_p in [0.1, 0.3, 0.5, 0.7, 0.9, 0.99] {
        for temperature in [0.7, 1.0, 1.7] {
            draws_follow(
                temperature,
                Truncation {
                    typical_p,
                    ..Truncation::default()
                },
            );
        }
    }
}

#[test]
fn a_low_typical_p_drops_even_the_likeliest_token() {
    let truncation = Truncation {
        typical_p: 0.1,
        ..Truncation::default()
    };
    let probabilities = exact(&LOGITS, 1.7, &truncation);
    assert_eq!(probabilities[1], 0.0, "{probabilities:?}");
}

#[test]
fn a_bias_shifts_the_distribution_and_what_is_withheld_leaves_it() {
    let biased = |token: u32, bias: f32| TokenBias {
        token: TokenId(token),
        bias,
    };
    let sampling = Sampling {
        temperature: 1.0,
        bias: [biased(0, 1.5), biased(1, -0.75), biased(5, -100.0)].into(),
        withheld: Withheld {
            tokens: [TokenId(2), TokenId(77)].into(),
            generated_min: TokenCount(u32::MAX),
        },
        ..Sampling::greedy()
    };
    let mut logits = LOGITS;
    logits[0] += 1.5;
    logits[1] -= 0.75;
    logits[2] = f32::NEG_INFINITY;
    logits[5] = f32::NEG_INFINITY;
    let probabilities = exact(&logits, 1.0, &Truncation::default());
    check(&counts(&sampling), &probabilities, "bias");
}

#[test]
fn the_test_itself_notices_a_wrong_distribution() {
    let sampling = Sampling {
        temperature: 1.1,
        ..Sampling::greedy()
    };
    let wrong = exact(&LOGITS, 1.0, &Truncation::default());
    let outcome = std::panic::catch_unwind(|| check(&counts(&sampling), &wrong, "wrong"));
    assert!(outcome.is_err());
}

#[test]
fn neighbouring_seeds_and_positions_draw_independently() {
    // Pairs of neighbours fill a square of 16 by 16 evenly.
    let pairs: [fn(u64) -> (u64, u64); 3] = [
        |it| (random_bits(7, it), random_bits(7, it + 1)),
        |it| (random_bits(it, 7), random_bits(it + 1, 7)),
        |it| (random_bits(it, 7), random_bits(it, 8)),
    ];
    for (index, pair) in pairs.iter().enumerate() {
        let mut counts = vec![0; 256];
        for sample in 0..200_000 {
            let (first, second) = pair(sample);
            counts[(first >> 60 << 4 | second >> 60) as usize] += 1;
        }
        check(&counts, &[1.0 / 256.0; 256], &format!("pairs {index}"));
    }
}
