//! Calls of functions as rules of a grammar.

use sconce_domain::{CallForm, FreeCalls, TokenId};
use sconce_text::{TokenClass, Tokenizer};
use serde_json::json;

use crate::GrammarError;
use crate::source::{parsed, with_options};

/// Writes texts as a grammar has them. A text that is a control token in this vocabulary is asked
/// for as that token: it is what the model was trained on, and no letters spell it.
pub(crate) struct Literals {
    /// By falling length, so that the longest is found first.
    controls: Vec<(String, TokenId)>,
}

impl Literals {
    pub(crate) fn of(tokenizer: &Tokenizer) -> Self {
        let count = u32::try_from(tokenizer.vocabulary_size()).unwrap_or(u32::MAX);
        let is_control = |it: &TokenId| tokenizer.token_class(*it) == Some(TokenClass::Control);
        let controls = (0..count).map(TokenId).filter(is_control);
        let controls = controls.map(|it| (tokenizer.token_text(it).into_owned(), it));
        let mut controls: Vec<_> = controls.filter(|(text, _)| !text.is_empty()).collect();
        controls.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self { controls }
    }

    /// The control token that `text` is, if it is one.
    pub(crate) fn control(&self, text: &str) -> Option<TokenId> {
        let found = self.controls.iter().find(|(it, _)| it == text);
        found.map(|(_, token)| *token)
    }

    fn write(&self, text: &str) -> String {
        let mut written = Vec::new();
        let (mut rest, mut plain) = (text, String::new());
        while let Some(letter) = rest.chars().next() {
            let found = self.controls.iter().find(|(it, _)| rest.starts_with(it));
            let bytes = match found {
                Some((control, token)) => {
                    written.extend(quoted(&std::mem::take(&mut plain)));
                    written.push(format!("<[{}]>", token.0));
                    control.len()
                }
                None => {
                    plain.push(letter);
                    letter.len_utf8()
                }
            };
            rest = &rest[bytes..];
        }
        written.extend(quoted(&plain));
        written.join(" ")
    }
}

fn quoted(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| json!(text).to_string())
}

/// A grammar of calls and nothing else.
pub(crate) fn calls(form: &CallForm, literals: &Literals) -> Result<String, GrammarError> {
    Ok(format!("start: calls\n{}", rules(form, literals)?))
}

/// A grammar of text up to the trigger, the calls behind it, and text without another trigger.
pub(crate) fn free_calls(free: &FreeCalls, literals: &Literals) -> Result<String, GrammarError> {
    let trigger = json!(free.trigger);
    let control = literals.control(&free.trigger);
    let control = control.map_or(String::new(), |it| format!(" | <[{}]>", it.0));
    Ok(format!(
        "start: trigger calls tail?\n\
         trigger: spelled{control}\n\
         spelled[lazy]: /(?s:.*)/ {trigger}\n\
         tail: TAIL\n\
         TAIL: /(?s:.+)/ & ~(/(?s:.*)/ {trigger} /(?s:.*)/)\n\
         {}",
        rules(&free.form, literals)?
    ))
}

/// Each schema is a rule of its own, so that its references lead into itself.
fn rules(form: &CallForm, literals: &Literals) -> Result<String, GrammarError> {
    let (mut rules, mut names) = (String::new(), Vec::new());
    for (index, function) in form.functions.iter().enumerate() {
        let schema = with_options(parsed(&function.arguments)?)?;
        let (before, after) = (
            literals.write(&function.before),
            literals.write(&function.after),
        );
        rules += &format!("call{index}: {before} arguments{index} {after}\n");
        rules += &format!("arguments{index}: %json {schema}\n");
        names.push(format!("call{index}"));
    }
    if names.is_empty() {
        return Err(GrammarError::NoChoices);
    }
    let (opening, closing) = (literals.write(&form.opening), literals.write(&form.closing));
    let more = match form.calls_max.saturating_sub(1) {
        0 => String::new(),
        more => format!("({} call){{0,{more}}}", literals.write(&form.between)),
    };
    let call = names.join(" | ");
    Ok(format!(
        "calls: {opening} call {more} {closing}\ncall: {call}\n{rules}"
    ))
}
