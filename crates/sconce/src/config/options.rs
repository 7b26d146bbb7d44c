//! What a file can say: the options of `sconce serve`.

use std::any::TypeId;
use std::num::NonZeroU32;

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::arguments::Arguments;

/// The option that names the file itself.
pub(super) const CONFIG: &str = "config";

/// What an option's value is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// True or false.
    Flag,
    /// A whole number.
    Integer,
    /// A whole number, or a text such as `6GB`.
    Bytes,
    /// One of these words.
    Choice(Vec<String>),
    /// Any text.
    Text,
    /// Texts.
    Texts,
    /// A table of names, for an option of the form `NAME=VALUE`, or `NAME:FIELD=VALUE` of tables.
    Pairs,
}

/// The whole command line, its parts complete.
pub(super) fn command() -> Command {
    let mut command = Arguments::command();
    command.build();
    command
}

/// The options that a file can set.
pub(super) fn options() -> Vec<Arg> {
    let command = command();
    let serve = command.find_subcommand("serve");
    let all = serve.into_iter().flat_map(Command::get_arguments);
    let is_setting = |it: &&Arg| {
        let is_help = matches!(
            it.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        it.get_long().is_some() && it.get_id() != CONFIG && !is_help
    };
    all.filter(is_setting).cloned().collect()
}

/// An option's name in a file.
pub(super) fn key(option: &Arg) -> String {
    option.get_long().unwrap_or_default().replace('-', "_")
}

pub(super) fn kind(option: &Arg) -> Kind {
    let shape = option.get_value_names().and_then(|it| it.first());
    let shape = shape.map_or("", |it| it.as_str());
    let choices = option.get_possible_values();
    match option.get_action() {
        ArgAction::SetTrue => Kind::Flag,
        ArgAction::Append if shape.contains('=') => Kind::Pairs,
        ArgAction::Append => Kind::Texts,
        _ if !choices.is_empty() => {
            let names = choices.iter().map(|it| it.get_name().to_owned());
            Kind::Choice(names.collect())
        }
        _ if shape == "BYTES" => Kind::Bytes,
        _ if is_number(option) => Kind::Integer,
        _ => Kind::Text,
    }
}

fn is_number(option: &Arg) -> bool {
    let value = option.get_value_parser().type_id();
    let numbers = [
        TypeId::of::<NonZeroU32>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<i32>(),
    ];
    numbers.iter().any(|it| value == *it)
}

/// The key most like `wrong`, if one is near enough to be meant.
pub(super) fn nearest<'a>(wrong: &str, keys: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase().replace('-', "_");
    let rated = keys.map(|it| (distance(&wrong, it), it));
    let (distance, key) = rated.min()?;
    (distance <= 2 + wrong.len() / 4).then_some(key)
}

/// Letters to add, drop or exchange to get from one word to the other (Levenshtein's distance).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_word_that_was_meant() {
        let words = ["listen", "running_max", "queue_max", "keys"];
        for (wrong, meant) in [
            ("lisen", Some("listen")),
            ("running-max", Some("running_max")),
            ("runing_mx", Some("running_max")),
            ("Keys", Some("keys")),
            ("temperature", None),
        ] {
            assert_eq!(nearest(wrong, words.into_iter()), meant, "{wrong}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
