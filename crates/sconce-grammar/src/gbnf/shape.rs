//! Decides what of a grammar becomes lexemes, and what stays rules.
//!
//! A lexer takes the longest text that a lexeme fits, and does not come back. So a part without
//! recursion may be one lexeme only where that is the same as trying all: where what may follow it
//! cannot make it longer, and where it does not begin like another lexeme that may stand in its
//! place. A part that fails this is taken apart, in the worst case down to single letters, which
//! are never ambiguous: between them the parser tries everything.

use std::collections::{BTreeMap, BTreeSet};

use super::lexeme::{Outside, outside, pairs};
use super::read::{Part, Rules};

/// Lexemes of one grammar.
const LEAVES_MAX: usize = 1000;
/// Pairs of lexemes that are looked at, as following each other or as standing in one place.
const PAIRS_MAX: usize = 300_000;
/// Pairs of letters that are looked at within lexemes.
const LETTER_PAIRS_MAX: usize = 300_000;

/// Parts in a row from which on it is taken apart in its middle, and not at its end.
const HALVED_FROM: usize = 16;

/// What a rule is made of, down to lexemes.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// The lexeme of this number.
    Leaf(usize),
    /// The rule of this number, which is recursive.
    Rule(usize),
    Row(Vec<Node>),
    Choice(Vec<Node>),
    Repeat(Box<Node>, u32, Option<u32>),
}

/// A grammar's lexemes and rules.
#[derive(Debug)]
pub(super) struct Shape<'r> {
    rules: &'r Rules,
    is_regular: Vec<bool>,
    is_nullable: Vec<bool>,
    pub(super) leaves: Vec<Leaf>,
    /// The rules that are used, by number.
    pub(super) bodies: BTreeMap<usize, Node>,
    pub(super) start: Node,
    letter_pairs_left: usize,
}

/// A part that is one lexeme wherever it stands. It matches no empty text.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) part: Part,
    /// Whether the part by itself would match the empty text too.
    pub(super) is_nullable: bool,
    outside: Outside,
}

/// Too much of it cannot be a lexeme.
#[derive(Debug)]
pub(super) struct TooAmbiguous;

/// Which end of a lexeme is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conflict {
    First,
    Last,
}

impl<'r> Shape<'r> {
    pub(super) fn of(rules: &'r Rules) -> Result<Self, TooAmbiguous> {
        let mut shape = Self {
            rules,
            is_regular: rules.settled(is_regular),
            is_nullable: rules.settled(is_nullable),
            leaves: Vec::new(),
            bodies: BTreeMap::new(),
            start: Node::Row(Vec::new()),
            letter_pairs_left: LETTER_PAIRS_MAX,
        };
        shape.start = shape.node(&Part::Rule(rules.root));
        let mut open = vec![rules.root];
        while let Some(number) = open.pop() {
            if shape.is_regular[number] || shape.bodies.contains_key(&number) {
                continue;
            }
            let body = shape.node(&rules.bodies[number]);
            named_in(&body, &mut open);
            shape.bodies.insert(number, body);
        }
        let mut pairs_left = PAIRS_MAX;
        loop {
            if shape.leaves.len() > LEAVES_MAX {
                return Err(TooAmbiguous);
            }
            let conflicts = shape.conflicts(&mut pairs_left)?;
            if conflicts.is_empty() {
                return Ok(shape);
            }
            let mut start = std::mem::replace(&mut shape.start, Node::Row(Vec::new()));
            shape.split(&mut start, &conflicts);
            shape.start = start;
            let mut bodies = std::mem::take(&mut shape.bodies);
            for body in bodies.values_mut() {
                shape.split(body, &conflicts);
            }
            shape.bodies = bodies;
        }
    }

    /// `part` in as few lexemes as can be.
    fn node(&mut self, part: &Part) -> Node {
        if is_regular(part, &self.is_regular) {
            return self.leaf(part.clone());
        }
        match part {
            Part::Letter(_) => self.leaf(part.clone()),
            Part::Rule(number) => Node::Rule(*number),
            Part::Repeat(inner, least, most) => {
                Node::Repeat(Box::new(self.node(inner)), *least, *most)
            }
            Part::Row(parts) => {
                let is_regular = |it: &Part| is_regular(it, &self.is_regular);
                let runs = parts.chunk_by(|one, next| is_regular(one) && is_regular(next));
                let runs: Vec<Part> = runs.map(|it| joined(it, Part::Row)).collect();
                Node::Row(runs.iter().map(|it| self.node(it)).collect())
            }
            Part::Choice(parts) => {
                let is_regular = |it: &&Part| is_regular(it, &self.is_regular);
                let (regular, others): (Vec<&Part>, Vec<&Part>) =
                    parts.iter().partition(is_regular);
                let regular: Vec<Part> = regular.into_iter().cloned().collect();
                let mut nodes: Vec<Node> = others.into_iter().map(|it| self.node(it)).collect();
                if !regular.is_empty() {
                    nodes.push(self.node(&joined(&regular, Part::Choice)));
                }
                Node::Choice(nodes)
            }
        }
    }

    fn leaf(&mut self, part: Part) -> Node {
        if part == Part::Row(Vec::new()) {
            return Node::Row(Vec::new());
        }
        let is_nullable = is_nullable(&part, &self.is_nullable);
        let leaf = Node::Leaf(self.leaves.len());
        self.leaves.push(Leaf {
            outside: outside(&part, self.rules, &mut self.letter_pairs_left),
            part,
            is_nullable,
        });
        if is_nullable {
            return Node::Repeat(Box::new(leaf), 0, Some(1));
        }
        leaf
    }

    /// Takes lexemes apart that are in conflict, at the end that is.
    fn split(&mut self, node: &mut Node, conflicts: &BTreeMap<usize, Conflict>) {
        match node {
            Node::Rule(_) => {}
            Node::Row(nodes) | Node::Choice(nodes) => {
                for node in nodes {
                    self.split(node, conflicts);
                }
            }
            Node::Repeat(inner, ..) => self.split(inner, conflicts),
            Node::Leaf(number) => {
                if let Some(conflict) = conflicts.get(number) {
                    let part = self.leaves[*number].part.clone();
                    *node = self.taken_apart(part, *conflict);
                }
            }
        }
    }

    fn taken_apart(&mut self, part: Part, conflict: Conflict) -> Node {
        match part {
            Part::Letter(_) => self.leaf(part),
            Part::Rule(number) => {
                let rules = self.rules;
                self.taken_apart(rules.bodies[number].clone(), conflict)
            }
            Part::Row(mut parts) if parts.len() > 2 => {
                let at = match conflict {
                    _ if parts.len() > HALVED_FROM => parts.len() / 2,
                    Conflict::First => 1,
                    Conflict::Last => parts.len() - 1,
                };
                let rest = parts.split_off(at);
                let halves = [parts, rest].map(|it| joined(&it, Part::Row));
                Node::Row(halves.map(|it| self.leaf(it)).to_vec())
            }
            Part::Row(parts) if parts.len() == 1 => self.taken_apart(parts[0].clone(), conflict),
            Part::Row(parts) => Node::Row(parts.into_iter().map(|it| self.leaf(it)).collect()),
            Part::Choice(parts) => {
                Node::Choice(parts.into_iter().map(|it| self.leaf(it)).collect())
            }
            Part::Repeat(inner, least, most) => {
                Node::Repeat(Box::new(self.leaf(*inner)), least, most)
            }
        }
    }

    fn is_single(&self, leaf: usize) -> bool {
        matches!(self.leaves[leaf].part, Part::Letter(_))
    }

    /// The lexemes that the longest match would read in another way than the grammar may.
    fn conflicts(&self, pairs_left: &mut usize) -> Result<BTreeMap<usize, Conflict>, TooAmbiguous> {
        let mut order = Order::of(self, *pairs_left);
        order.settle(self);
        *pairs_left = order.pairs_left.ok_or(TooAmbiguous)?;
        let mut conflicts = BTreeMap::new();
        for (leaf, next) in order.next.iter().enumerate() {
            let longer = &self.leaves[leaf].outside.longer;
            if next
                .iter()
                .any(|it| longer.meets(&self.leaves[*it].outside.first))
            {
                conflicts.insert(leaf, Conflict::Last);
            }
        }
        let mut seen = BTreeSet::new();
        let begin = order.first(&self.start);
        let mut open = pairs(&begin, &begin);
        while let Some((one, other)) = open.pop() {
            let [first, second] = [one, other].map(|it| &self.leaves[it]);
            if !first.outside.first.meets(&second.outside.first) || !seen.insert((one, other)) {
                continue;
            }
            let is_same = first.part == second.part;
            if is_same || (self.is_single(one) && self.is_single(other)) {
                open.extend(pairs(&order.next[one], &order.next[other]));
            } else {
                for leaf in [one, other].into_iter().filter(|it| !self.is_single(*it)) {
                    conflicts.entry(leaf).or_insert(Conflict::First);
                }
            }
            let looked_at = seen.len() + open.len();
            *pairs_left = pairs_left
                .checked_sub(looked_at.min(1))
                .ok_or(TooAmbiguous)?;
            if looked_at > *pairs_left {
                return Err(TooAmbiguous);
            }
        }
        Ok(conflicts)
    }
}

/// Which lexemes may follow which.
struct Order {
    /// Of each recursive rule: what it may begin with, and whether it may be empty.
    begins: BTreeMap<usize, (BTreeSet<usize>, bool)>,
    /// Of each recursive rule: what may stand behind it.
    behind: BTreeMap<usize, BTreeSet<usize>>,
    /// Of each lexeme: what may stand behind it.
    next: Vec<BTreeSet<usize>>,
    /// Pairs that may still be looked at; once there are none, nothing is known.
    pairs_left: Option<usize>,
}

impl Order {
    fn of(shape: &Shape<'_>, pairs_left: usize) -> Self {
        let mut order = Self {
            pairs_left: Some(pairs_left),
            begins: BTreeMap::new(),
            behind: BTreeMap::new(),
            next: vec![BTreeSet::new(); shape.leaves.len()],
        };
        loop {
            let before = order.begins.clone();
            // Both ways, since what a chain of rules begins with is known at its end.
            for (number, body) in shape.bodies.iter().chain(shape.bodies.iter().rev()) {
                let begins = (order.first(body), order.may_be_empty(body));
                order.begins.insert(*number, begins);
            }
            if order.begins == before {
                return order;
            }
        }
    }

    fn settle(&mut self, shape: &Shape<'_>) {
        loop {
            let before = self.behind.clone();
            self.follow(&shape.start, &BTreeSet::new());
            for (number, body) in shape.bodies.iter().chain(shape.bodies.iter().rev()) {
                let behind = self.behind.get(number).cloned().unwrap_or_default();
                self.follow(body, &behind);
            }
            if self.behind == before || self.pairs_left.is_none() {
                return;
            }
        }
    }

    fn first(&self, node: &Node) -> BTreeSet<usize> {
        match node {
            Node::Leaf(number) => BTreeSet::from([*number]),
            Node::Rule(number) => self
                .begins
                .get(number)
                .map(|it| it.0.clone())
                .unwrap_or_default(),
            Node::Choice(nodes) => nodes.iter().flat_map(|it| self.first(it)).collect(),
            Node::Repeat(inner, ..) => self.first(inner),
            Node::Row(nodes) => {
                let mut first = BTreeSet::new();
                for node in nodes {
                    first.extend(self.first(node));
                    if !self.may_be_empty(node) {
                        break;
                    }
                }
                first
            }
        }
    }

    fn may_be_empty(&self, node: &Node) -> bool {
        match node {
            Node::Leaf(_) => false,
            Node::Rule(number) => self.begins.get(number).is_some_and(|it| it.1),
            Node::Choice(nodes) => nodes.iter().any(|it| self.may_be_empty(it)),
            Node::Repeat(inner, least, _) => *least == 0 || self.may_be_empty(inner),
            Node::Row(nodes) => nodes.iter().all(|it| self.may_be_empty(it)),
        }
    }

    /// Notes that `behind` may stand behind `node`.
    fn follow(&mut self, node: &Node, behind: &BTreeSet<usize>) {
        self.pairs_left = self
            .pairs_left
            .and_then(|it| it.checked_sub(1 + behind.len()));
        if self.pairs_left.is_none() {
            return;
        }
        match node {
            Node::Leaf(number) => self.next[*number].extend(behind),
            Node::Rule(number) => self.behind.entry(*number).or_default().extend(behind),
            Node::Choice(nodes) => nodes.iter().for_each(|it| self.follow(it, behind)),
            Node::Repeat(inner, _, most) => {
                let mut behind = behind.clone();
                if *most != Some(1) {
                    behind.extend(self.first(inner));
                }
                self.follow(inner, &behind);
            }
            Node::Row(nodes) => {
                let mut behind = behind.clone();
                for node in nodes.iter().rev() {
                    self.follow(node, &behind);
                    if !self.may_be_empty(node) {
                        behind.clear();
                    }
                    behind.extend(self.first(node));
                }
            }
        }
    }
}

fn joined(parts: &[Part], join: fn(Vec<Part>) -> Part) -> Part {
    match parts {
        [one] => one.clone(),
        several => join(several.to_vec()),
    }
}

fn named_in(node: &Node, named: &mut Vec<usize>) {
    match node {
        Node::Leaf(_) => {}
        Node::Rule(number) => named.push(*number),
        Node::Row(nodes) | Node::Choice(nodes) => nodes.iter().for_each(|it| named_in(it, named)),
        Node::Repeat(inner, ..) => named_in(inner, named),
    }
}

/// Whether no rule in `part` leads back to itself.
fn is_regular(part: &Part, known: &[bool]) -> bool {
    match part {
        Part::Letter(_) => true,
        Part::Rule(number) => known[*number],
        Part::Row(parts) | Part::Choice(parts) => parts.iter().all(|it| is_regular(it, known)),
        Part::Repeat(inner, ..) => is_regular(inner, known),
    }
}

fn is_nullable(part: &Part, known: &[bool]) -> bool {
    match part {
        Part::Letter(_) => false,
        Part::Rule(number) => known[*number],
        Part::Row(parts) => parts.iter().all(|it| is_nullable(it, known)),
        Part::Choice(parts) => parts.iter().any(|it| is_nullable(it, known)),
        Part::Repeat(inner, least, _) => *least == 0 || is_nullable(inner, known),
    }
}
