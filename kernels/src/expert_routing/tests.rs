//! Choices, shares and sums against the reference, and with hostile logits.

use super::*;

fn logits(rows: usize, experts: usize) -> Vec<f32> {
    let value = |index: usize| (index * 7919 % 1009) as f32 / 100.0 - 5.0;
    (0..rows * experts).map(value).collect()
}

const CHOICES: [(usize, usize); 5] = [(1, 1), (4, 4), (8, 2), (60, 4), (128, 8)];

#[test]
fn the_choice_is_the_reference_s_and_bit_equal_on_every_instruction_set() {
    for (experts, chosen) in CHOICES {
        for shares in [Shares::OfChosen, Shares::OfAll] {
            let choice = Choice {
                experts,
                chosen,
                shares,
            };
            let logits = logits(7, experts);
            let run = |isa| {
                let mut routing = Routing::default();
                routing.choose(isa, choice, &logits);
                routing
            };
            let portable = run(Isa::Portable);
            let mut found = portable.picks.iter().zip(&portable.weights);
            for row in logits.chunks_exact(experts) {
                for (expert, weight) in reference::choose(choice, row) {
                    let (pick, found) = found.next().unwrap();
                    assert_eq!(*pick, expert);
                    assert!((f64::from(*found) - weight).abs() < 1e-6 * weight);
                }
            }
            for isa in Isa::available() {
                let other = run(isa);
                assert_eq!(
                    (other.picks, other.weights),
                    (portable.picks.clone(), portable.weights.clone())
                );
            }
        }
    }
}

/// With the identity for experts, a row comes back times the sum of its weights.
#[test]
fn what_is_gathered_and_combined_is_each_row_s_own() {
    for (experts, chosen) in CHOICES {
        let choice = Choice {
            experts,
            chosen,
            shares: Shares::OfChosen,
        };
        let (rows, width) = (9, 5);
        let mut routing = Routing::default();
        routing.choose(Isa::detect(), choice, &logits(rows, experts));
        let x: Vec<f32> = (0..rows * width).map(|it| it as f32 - 20.0).collect();
        let mut grouped = Vec::new();
        routing.gather(&x, width, &mut grouped);
        assert_eq!(routing.groups().rows(), rows * chosen);
        for (expert, range) in routing.groups().ranges().enumerate() {
            for place in range {
                let pick = routing.places.iter().position(|it| *it == place).unwrap();
                assert_eq!(routing.picks[pick], expert);
                let row = &x[pick / chosen * width..][..width];
                assert_eq!(&grouped[place * width..][..width], row);
            }
        }
        let mut out = vec![f32::NAN; x.len()];
        routing.combine(Isa::detect(), &mut Pool::new(2), &grouped, &mut out);
        for (found, wanted) in out.iter().zip(&x) {
            assert!((found - wanted).abs() <= 1e-5 * wanted.abs(), "{experts}");
        }
    }
}

#[test]
fn equal_and_hostile_logits_still_choose_different_experts() {
    let hostile = [
        [0.0; 4],
        [f32::NAN; 4],
        [f32::NEG_INFINITY; 4],
        [f32::INFINITY, f32::NAN, f32::INFINITY, 1.0],
    ];
    let choice = Choice {
        experts: 4,
        chosen: 3,
        shares: Shares::OfAll,
    };
    let mut routing = Routing::default();
    routing.choose(Isa::detect(), choice, hostile.as_flattened());
    let picks: Vec<_> = routing.picks.chunks_exact(3).collect();
    assert_eq!(picks, [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 2, 3]]);
}

#[test]
fn what_all_rows_go_through_is_added_by_its_gate() {
    let (gates, shared) = ([0.0, -2.0, 100.0], [4.0, 1.0, 3.0, -1.0, 2.0, 5.0]);
    let mut first = None;
    for isa in Isa::available() {
        let mut out = [1.0; 6];
        add_gated(isa, &gates, &shared, &mut out);
        for (index, found) in out.iter().enumerate() {
            let weight = 1.0 / (1.0 + (-f64::from(gates[index / 2])).exp());
            let wanted = 1.0 + weight * f64::from(shared[index]);
            assert!((f64::from(*found) - wanted).abs() < 1e-6 * wanted.abs());
        }
        assert_eq!(*first.get_or_insert(out), out);
    }
}
