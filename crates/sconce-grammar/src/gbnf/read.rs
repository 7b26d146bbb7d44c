//! Reads GBNF as llama.cpp has it: rules of literals, letters, references, groups and repeats.

use std::collections::HashMap;

use super::letters::Letters;
use crate::GrammarError;

/// Groups in groups.
const DEPTH_MAX: usize = 64;
/// Largest number of a repeat.
const REPEAT_MAX: u32 = 2000;

/// What a rule stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Letter(Letters),
    /// The rule of this number.
    Rule(usize),
    Row(Vec<Part>),
    Choice(Vec<Part>),
    /// Between so many times and so many; without an end if there is none.
    Repeat(Box<Part>, u32, Option<u32>),
}

/// The rules of a grammar, each by its number.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) bodies: Vec<Part>,
    pub(super) root: usize,
}

/// Reads `text`.
pub(super) fn rules(text: &str) -> Result<Rules, GrammarError> {
    let mut reader = Reader {
        text,
        at: 0,
        numbers: HashMap::new(),
        named_at: Vec::new(),
        bodies: Vec::new(),
    };
    reader.skip(true);
    while reader.peek().is_some() {
        reader.rule()?;
    }
    let mut bodies = Vec::new();
    for (number, body) in std::mem::take(&mut reader.bodies).into_iter().enumerate() {
        let Some(body) = body else {
            let (at, name) = &reader.named_at[number];
            return Err(reader.wrong(*at, format!("no rule is called `{name}`")));
        };
        bodies.push(body);
    }
    let Some(root) = reader.numbers.get("root") else {
        let what = "no rule is called `root`, where an answer begins";
        return Err(reader.wrong(text.len(), what));
    };
    let rules = Rules {
        bodies,
        root: *root,
    };
    if let Some(number) = rules.settled(ends).iter().position(|it| !it) {
        let (at, name) = &reader.named_at[number];
        return Err(reader.wrong(*at, format!("no text of the rule `{name}` ever ends")));
    }
    Ok(rules)
}

impl Rules {
    /// Of which rules something is true that is true of a part once it is true of the rules in it.
    pub(super) fn settled(&self, is_so: fn(&Part, &[bool]) -> bool) -> Vec<bool> {
        let mut known = vec![false; self.bodies.len()];
        loop {
            let mut is_settled = true;
            let bodies = || self.bodies.iter().enumerate();
            // Both ways, since what is true of a chain of rules is known at its end.
            for (number, body) in bodies().chain(bodies().rev()) {
                if !known[number] && is_so(body, &known) {
                    known[number] = true;
                    is_settled = false;
                }
            }
            if is_settled {
                return known;
            }
        }
    }
}

/// Whether some text of `part` ends.
fn ends(part: &Part, known: &[bool]) -> bool {
    match part {
        Part::Letter(_) => true,
        Part::Rule(number) => known[*number],
        Part::Row(parts) => parts.iter().all(|it| ends(it, known)),
        Part::Choice(parts) => parts.iter().any(|it| ends(it, known)),
        Part::Repeat(inner, least, _) => *least == 0 || ends(inner, known),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    numbers: HashMap<&'t str, usize>,
    /// Where each rule was first named, and how.
    named_at: Vec<(usize, &'t str)>,
    bodies: Vec<Option<Part>>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn passes(&mut self, mark: &str) -> bool {
        let stands = self.rest().starts_with(mark);
        if stands {
            self.at += mark.len();
        }
        stands
    }

    /// What is wrong, and where.
    fn wrong(&self, at: usize, what: impl std::fmt::Display) -> GrammarError {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|it| *it != '\n').count() + 1;
        GrammarError::Refused {
            fact: format!("line {line}, column {column} of the GBNF: {what}"),
        }
    }

    /// Skips space and comments, and the ends of lines where a rule does not end with one.
    fn skip(&mut self, lines_too: bool) {
        loop {
            let rest = self.rest();
            let is_space = |it: char| " \t".contains(it) || (lines_too && "\r\n".contains(it));
            self.at += rest.len() - rest.trim_start_matches(is_space).len();
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find(['\r', '\n']).unwrap_or(self.rest().len());
        }
    }

    fn name(&mut self) -> Option<(usize, &'t str)> {
        let rest = self.rest();
        let is_letter = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
        let bytes = rest.find(|it| !is_letter(it)).unwrap_or(rest.len());
        let at = self.at;
        self.at += bytes;
        (bytes > 0).then(|| (at, &rest[..bytes]))
    }

    fn number_of(&mut self, at: usize, name: &'t str) -> usize {
        let next = self.bodies.len();
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.named_at.push((at, name));
            self.bodies.push(None);
        }
        number
    }

    fn rule(&mut self) -> Result<(), GrammarError> {
        let begin = self.at;
        let Some((at, name)) = self.name() else {
            return Err(self.wrong(begin, "a rule must begin here with its name"));
        };
        self.skip(false);
        if !self.passes("::=") {
            return Err(self.wrong(self.at, format!("`::=` must follow the name `{name}`")));
        }
        let number = self.number_of(at, name);
        if self.bodies[number].is_some() {
            return Err(self.wrong(at, format!("a rule is called `{name}` already")));
        }
        self.skip(true);
        let body = self.choice(0)?;
        self.bodies[number] = Some(body);
        if !matches!(self.peek(), None | Some('\r' | '\n')) {
            return Err(self.wrong(self.at, self.unexpected()));
        }
        self.skip(true);
        Ok(())
    }

    fn unexpected(&self) -> String {
        match self.peek() {
            Some(letter) => format!("`{}` has no meaning here", letter.escape_debug()),
            None => "the grammar ends too soon".to_owned(),
        }
    }

    fn choice(&mut self, depth: usize) -> Result<Part, GrammarError> {
        let mut choices = vec![self.row(depth)?];
        while self.passes("|") || self.passes_line_of_choice() {
            self.skip(true);
            choices.push(self.row(depth)?);
        }
        Ok(match choices.len() {
            1 => choices.remove(0),
            _ => Part::Choice(choices),
        })
    }

    /// A line that begins with `|` goes on with the choice before it.
    fn passes_line_of_choice(&mut self) -> bool {
        let before = self.at;
        self.skip(true);
        let passes = self.passes("|");
        if !passes {
            self.at = before;
        }
        passes
    }

    fn row(&mut self, depth: usize) -> Result<Part, GrammarError> {
        let mut parts: Vec<Part> = Vec::new();
        loop {
            self.skip(depth > 0);
            let at = self.at;
            let part = match self.peek() {
                Some('"') => self.literal()?,
                Some('[') => Part::Letter(self.letters()?),
                Some('.') => {
                    self.at += 1;
                    Part::Letter(Letters::any())
                }
                Some('(') if depth >= DEPTH_MAX => {
                    let what = format!("more than {DEPTH_MAX} groups stand in each other");
                    return Err(self.wrong(at, what));
                }
                Some('(') => {
                    self.at += 1;
                    self.skip(true);
                    let inner = self.choice(depth + 1)?;
                    self.skip(true);
                    if !self.passes(")") {
                        return Err(self.wrong(self.at, format!("no `)`: {}", self.unexpected())));
                    }
                    inner
                }
                Some('<' | '!') => {
                    return Err(
                        self.wrong(at, "tokens (`<…>`) are not supported; write their text")
                    );
                }
                Some('*' | '+' | '?' | '{') => {
                    return Err(self.wrong(at, "there is nothing to repeat before this"));
                }
                _ => match self.name() {
                    Some((at, name)) => Part::Rule(self.number_of(at, name)),
                    None if parts.len() == 1 => return Ok(parts.remove(0)),
                    None => return Ok(Part::Row(parts)),
                },
            };
            let part = self.repeats(part)?;
            parts.push(part);
        }
    }

    /// `part` with the signs of repetition behind it.
    fn repeats(&mut self, mut part: Part) -> Result<Part, GrammarError> {
        loop {
            self.skip(false);
            let (least, most) = match self.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => {
                    let (least, most) = self.counts()?;
                    part = match most {
                        Some(0) => Part::Row(Vec::new()),
                        _ => Part::Repeat(Box::new(part), least, most),
                    };
                    continue;
                }
                _ => return Ok(part),
            };
            self.at += 1;
            part = Part::Repeat(Box::new(part), least, most);
        }
    }

    fn counts(&mut self) -> Result<(u32, Option<u32>), GrammarError> {
        let begin = self.at;
        let inner = self.rest()[1..].split('}').next().unwrap_or_default();
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let counts = match inner.split_once(',') {
            None => number(inner).map(|it| (it, Some(it))),
            Some((least, most)) if most.trim().is_empty() => number(least).map(|it| (it, None)),
            Some((least, most)) => number(least).zip(number(most).map(Some)),
        };
        self.at += inner.len() + 1;
        let is_closed = self.passes("}");
        match counts.filter(|_| is_closed) {
            Some((least, most)) if most.is_some_and(|it| it < least) => {
                Err(self.wrong(begin, "this repeats at least more often than at most"))
            }
            Some((least, most)) if least.max(most.unwrap_or(0)) > REPEAT_MAX => {
                Err(self.wrong(begin, format!("this repeats more than {REPEAT_MAX} times")))
            }
            Some(counts) => Ok(counts),
            None => Err(self.wrong(begin, "a count must be `{n}`, `{n,}` or `{n,m}`")),
        }
    }

    fn literal(&mut self) -> Result<Part, GrammarError> {
        let begin = self.at;
        self.at += 1;
        let mut parts = Vec::new();
        loop {
            match self.peek() {
                Some('"') => break,
                None | Some('\n') => return Err(self.wrong(begin, "this literal does not end")),
                Some(_) => {
                    let code = self.letter()?;
                    parts.push(Part::Letter(Letters::of(vec![(code, code)])));
                }
            }
        }
        self.at += 1;
        Ok(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Part::Row(parts)
        })
    }

    fn letters(&mut self) -> Result<Letters, GrammarError> {
        let begin = self.at;
        self.at += 1;
        let is_others = self.passes("^");
        let mut ranges = Vec::new();
        loop {
            match self.peek() {
                Some(']') => break,
                None | Some('\n') => {
                    return Err(self.wrong(begin, "this set of letters does not end"));
                }
                Some(_) => {
                    let at = self.at;
                    let first = self.letter()?;
                    let is_range = self.rest().starts_with('-') && !self.rest().starts_with("-]");
                    let last = if is_range {
                        self.at += 1;
                        self.letter()?
                    } else {
                        first
                    };
                    if last < first {
                        return Err(self.wrong(at, "this range ends before it begins"));
                    }
                    ranges.push((first, last));
                }
            }
        }
        self.at += 1;
        let letters = Letters::of(ranges);
        let letters = if is_others { letters.others() } else { letters };
        match letters.class() {
            Some(_) => Ok(letters),
            None => Err(self.wrong(begin, "no letter is in this set")),
        }
    }

    /// One letter of a literal or a set, perhaps escaped.
    fn letter(&mut self) -> Result<u32, GrammarError> {
        let begin = self.at;
        if self.rest().is_empty() {
            return Err(self.wrong(begin, self.unexpected()));
        }
        let mut letters = self.rest().chars();
        let first = letters.next();
        let escape = if first == Some('\\') {
            letters.next()
        } else {
            None
        };
        let (skipped, code) = match (first, escape) {
            (Some('\\'), Some(escape)) => {
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                let code = match escape {
                    'n' => Some(u32::from('\n')),
                    'r' => Some(u32::from('\r')),
                    't' => Some(u32::from('\t')),
                    '\\' | '"' | '[' | ']' | '-' | '^' => Some(u32::from(escape)),
                    _ if digits > 0 => self.rest().get(2..2 + digits).and_then(code_of),
                    _ => None,
                };
                (1 + escape.len_utf8() + digits, code)
            }
            (Some('\\') | None, _) => (0, None),
            (Some(letter), _) => (letter.len_utf8(), Some(u32::from(letter))),
        };
        let Some(code) = code else {
            return Err(self.wrong(
                begin,
                "this escape is not one of `\\n \\r \\t \\\\ \\\" \\[ \\] \\x \\u \\U`",
            ));
        };
        self.at += skipped;
        Ok(code)
    }
}

/// A letter by its number; halves of pairs are none.
fn code_of(digits: &str) -> Option<u32> {
    let is_plain = digits.bytes().all(|it| it.is_ascii_hexdigit());
    let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_plain)?;
    char::from_u32(code).map(u32::from)
}
