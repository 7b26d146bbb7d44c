//! What a part without recursion looks like from outside: how it begins, and what can lengthen it.

use std::collections::HashSet;

use super::letters::Letters;
use super::read::{Part, Rules};

/// Letters of one part that are followed; what has more is taken to go on with anything.
const PLACES_MAX: usize = 256;

/// How a part looks from outside.
#[derive(Debug, Clone, Default)]
pub(super) struct Outside {
    /// Letters that it begins with.
    pub(super) first: Letters,
    /// Letters that make something longer of a text that is whole.
    pub(super) longer: Letters,
}

/// The places where letters stand in a part (Glushkov's automaton). A repeat is taken to have no
/// end, which can only make more of what may follow.
#[derive(Default)]
struct Places {
    letters: Vec<Letters>,
    follow: Vec<Vec<usize>>,
    is_too_much: bool,
    pairs_left: usize,
}

/// The edges of a piece of a part.
#[derive(Default)]
struct Edges {
    is_nullable: bool,
    first: Vec<usize>,
    last: Vec<usize>,
}

/// Looks at `part`, whose rules are all without recursion. Once no pairs of places are left to look
/// at, it is taken to begin and to go on with anything.
pub(super) fn outside(part: &Part, rules: &Rules, pairs_left: &mut usize) -> Outside {
    if let Part::Letter(letters) = part {
        return Outside {
            first: letters.clone(),
            longer: Letters::default(),
        };
    }
    let mut places = Places {
        pairs_left: *pairs_left,
        ..Places::default()
    };
    let edges = places.add(part, rules);
    *pairs_left = places.pairs_left;
    let anything = || Outside {
        first: Letters::any(),
        longer: Letters::any(),
    };
    if places.is_too_much || *pairs_left == 0 {
        return anything();
    }
    let mut outside = Outside::default();
    for place in &edges.first {
        outside.first.add(&places.letters[*place]);
    }
    // Pairs of places that the same text leads to: where one may end, the other may go on.
    let mut seen = HashSet::new();
    let mut open = pairs(&edges.first, &edges.first);
    while let Some((one, other)) = open.pop() {
        let meets = places.letters[one].meets(&places.letters[other]);
        if !meets || !seen.insert((one, other)) {
            continue;
        }
        if edges.last.contains(&one) {
            for place in &places.follow[other] {
                outside.longer.add(&places.letters[*place]);
            }
        }
        let next = pairs(&places.follow[one], &places.follow[other]);
        *pairs_left = pairs_left.saturating_sub(1 + next.len());
        if *pairs_left == 0 {
            return anything();
        }
        open.extend(next.into_iter().filter(|it| !seen.contains(it)));
    }
    outside
}

impl Places {
    fn add(&mut self, part: &Part, rules: &Rules) -> Edges {
        if self.letters.len() >= PLACES_MAX || self.pairs_left == 0 {
            self.is_too_much = true;
        }
        if self.is_too_much {
            return Edges::default();
        }
        match part {
            Part::Letter(letters) => {
                let place = self.letters.len();
                self.letters.push(letters.clone());
                self.follow.push(Vec::new());
                Edges {
                    is_nullable: false,
                    first: vec![place],
                    last: vec![place],
                }
            }
            Part::Rule(number) => self.add(&rules.bodies[*number], rules),
            Part::Row(parts) => self.row(parts, rules),
            Part::Choice(parts) => {
                let mut all = Edges::default();
                for part in parts {
                    let edges = self.add(part, rules);
                    all.is_nullable |= edges.is_nullable;
                    all.first.extend(edges.first);
                    all.last.extend(edges.last);
                }
                all
            }
            Part::Repeat(inner, least, most) => {
                let mut edges = self.add(inner, rules);
                if *most != Some(1) {
                    self.join(&edges.last, &edges.first);
                }
                edges.is_nullable |= *least == 0;
                edges
            }
        }
    }

    fn row(&mut self, parts: &[Part], rules: &Rules) -> Edges {
        let mut all = Edges {
            is_nullable: true,
            ..Edges::default()
        };
        for part in parts {
            let edges = self.add(part, rules);
            self.join(&all.last, &edges.first);
            if all.is_nullable {
                all.first.extend(&edges.first);
            }
            if !edges.is_nullable {
                all.last.clear();
            }
            all.last.extend(edges.last);
            all.is_nullable &= edges.is_nullable;
        }
        all
    }

    fn join(&mut self, last: &[usize], first: &[usize]) {
        self.pairs_left = self.pairs_left.saturating_sub(last.len() * first.len());
        for place in last {
            let follow = &mut self.follow[*place];
            let new = first.iter().filter(|it| !follow.contains(it));
            let new: Vec<usize> = new.copied().collect();
            follow.extend(new);
        }
    }
}

/// Every one of `one` with every one of `other`.
pub(super) fn pairs<'a>(
    one: impl IntoIterator<Item = &'a usize>,
    other: impl IntoIterator<Item = &'a usize> + Copy,
) -> Vec<(usize, usize)> {
    let of = |it: &'a usize| other.into_iter().map(move |that| (*it, *that));
    one.into_iter().flat_map(of).collect()
}
