//! Grammars in GBNF, llama.cpp's notation, written anew in Lark's.
//!
//! In GBNF every letter stands for itself and nothing is skipped between two. A parser could take
//! each letter by itself, but the tokens of a real vocabulary would cost it too much. So parts
//! without recursion become regular expressions, as large as can be without any change of meaning.

mod letters;
mod lexeme;
mod read;
mod shape;

use std::collections::HashMap;

use self::read::{Part, Rules};
use self::shape::{Node, Shape};
use crate::GrammarError;

/// Bytes of the grammar that comes of it.
const WRITTEN_BYTES_MAX: usize = 256 << 10;

/// The grammar `text` in Lark's notation.
pub(crate) fn to_lark(text: &str) -> Result<String, GrammarError> {
    let rules = read::rules(text)?;
    let shape = Shape::of(&rules).map_err(|_| GrammarError::Refused {
        fact: "the GBNF is too ambiguous: too many of its rules begin or go on alike".to_owned(),
    })?;
    let mut writer = Writer {
        shape: &shape,
        rules: &rules,
        names: HashMap::new(),
        lexemes: String::new(),
        budget: WRITTEN_BYTES_MAX,
    };
    let mut lark = format!("start: {}\n", writer.node(&shape.start)?);
    for (number, body) in &shape.bodies {
        lark += &format!("rule{number}: {}\n", writer.node(body)?);
    }
    Ok(lark + &writer.lexemes)
}

struct Writer<'s> {
    shape: &'s Shape<'s>,
    rules: &'s Rules,
    /// The name of each lexeme, by what it is.
    names: HashMap<String, String>,
    lexemes: String,
    /// Bytes that may still be written: rules within rules double each other.
    budget: usize,
}

impl Writer<'_> {
    fn spend(&mut self, text: String) -> Result<String, GrammarError> {
        let left = self.budget.checked_sub(text.len());
        self.budget = left.ok_or_else(|| GrammarError::Refused {
            fact: format!(
                "the GBNF unfolds to more than {WRITTEN_BYTES_MAX} bytes; make it smaller"
            ),
        })?;
        Ok(text)
    }

    fn node(&mut self, node: &Node) -> Result<String, GrammarError> {
        let mut written = |nodes: &[Node]| -> Result<Vec<String>, GrammarError> {
            nodes.iter().map(|it| self.node(it)).collect()
        };
        let text = match node {
            Node::Row(nodes) if nodes.is_empty() => "\"\"".to_owned(),
            Node::Row(nodes) => format!("({})", written(nodes)?.join(" ")),
            Node::Choice(nodes) => format!("({})", written(nodes)?.join(" | ")),
            Node::Repeat(inner, least, most) => {
                format!("({}){}", self.node(inner)?, times(*least, *most))
            }
            Node::Rule(number) => format!("rule{number}"),
            Node::Leaf(number) => self.leaf(*number)?,
        };
        self.spend(text)
    }

    fn leaf(&mut self, number: usize) -> Result<String, GrammarError> {
        let leaf = &self.shape.leaves[number];
        let mut lexeme = format!("/{}/", self.expression(&leaf.part)?);
        if leaf.is_nullable {
            lexeme += " & /(?s:.+)/";
        }
        let next = format!("LEXEME{}", self.names.len());
        if let Some(name) = self.names.get(&lexeme) {
            return Ok(name.clone());
        }
        self.lexemes += &format!("{next}: {lexeme}\n");
        self.names.insert(lexeme, next.clone());
        Ok(next)
    }

    fn expression(&mut self, part: &Part) -> Result<String, GrammarError> {
        let rules = self.rules;
        let text = match part {
            Part::Letter(letters) => letters.class().unwrap_or_default(),
            Part::Rule(number) => self.expression(&rules.bodies[*number])?,
            Part::Row(parts) => {
                let parts: Result<Vec<_>, _> = parts.iter().map(|it| self.expression(it)).collect();
                parts?.concat()
            }
            Part::Choice(parts) => {
                let parts: Result<Vec<_>, _> = parts.iter().map(|it| self.expression(it)).collect();
                format!("(?:{})", parts?.join("|"))
            }
            Part::Repeat(inner, least, most) => {
                format!("(?:{}){}", self.expression(inner)?, times(*least, *most))
            }
        };
        self.spend(text)
    }
}

fn times(least: u32, most: Option<u32>) -> String {
    match (least, most) {
        (0, None) => "*".to_owned(),
        (1, None) => "+".to_owned(),
        (0, Some(1)) => "?".to_owned(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    }
}
