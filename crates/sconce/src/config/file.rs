//! A file, read: which option it sets to what, and where it says so.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Arg;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::options::{Kind, key, kind, nearest, options};

/// What a file says.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) settings: Vec<Setting>,
}

/// An option that a file sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The option's id.
    pub(super) id: String,
    /// What the command line would say.
    pub(super) words: Vec<String>,
    pub(super) place: Place,
}

/// Where in a file, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the config in {}", path.display()))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let fault = |span: Range<usize>, fact: &str| {
            anyhow!("{}:{}: {fact}", path.display(), place(text, span.start))
        };
        let table = DeTable::parse(text)
            .map_err(|error| fault(error.span().unwrap_or(0..0), error.message()))?;
        let options = options();
        let mut settings = Vec::new();
        for (name, value) in table.get_ref() {
            let option = options.iter().find(|it| key(it) == **name.get_ref());
            let Some(option) = option else {
                let keys: Vec<String> = options.iter().map(key).collect();
                let fact = unknown(name.get_ref(), &keys);
                return Err(fault(name.span(), &fact));
            };
            let words = words(option, value).map_err(|(span, fact)| fault(span, &fact))?;
            settings.push(Setting {
                id: option.get_id().to_string(),
                words,
                place: place(text, name.span().start),
            });
        }
        settings.sort_by_key(|it| it.place.line);
        Ok(Self {
            path: path.to_owned(),
            settings,
        })
    }
}

fn unknown(name: &str, keys: &[String]) -> String {
    match nearest(name, keys.iter().map(String::as_str)) {
        Some(near) => format!("there is no setting `{name}`; did you mean `{near}`?"),
        None => format!(
            "there is no setting `{name}`; there are: {}",
            keys.join(", ")
        ),
    }
}

/// The words of the command line that say what `value` says of `option`.
fn words(
    option: &Arg,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, (Range<usize>, String)> {
    let long = option.get_long().unwrap_or_default();
    let word = |value: &str| format!("--{long}={value}");
    let wrong = |value: &Spanned<DeValue<'_>>, wanted: &str| {
        let found = value.get_ref().type_str();
        let fact = format!(
            "`{}` must be {wanted}, and this is of the type {found}",
            key(option)
        );
        (value.span(), fact)
    };
    let text = |value: &Spanned<DeValue<'_>>| {
        let text = value.get_ref().as_str();
        text.map(word).ok_or_else(|| wrong(value, "a text"))
    };
    let integer = |value: &Spanned<DeValue<'_>>| {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|it| i128::from_str_radix(it.as_str(), it.radix()).ok());
        let number = number.map(|it| word(&it.to_string()));
        number.ok_or_else(|| wrong(value, "a whole number"))
    };
    match kind(option) {
        Kind::Flag => match value.get_ref().as_bool() {
            Some(true) => Ok(vec![format!("--{long}")]),
            Some(false) => Ok(Vec::new()),
            None => Err(wrong(value, "true or false")),
        },
        Kind::Integer => Ok(vec![integer(value)?]),
        Kind::Bytes if value.get_ref().is_integer() => Ok(vec![integer(value)?]),
        Kind::Bytes | Kind::Choice(_) | Kind::Text => Ok(vec![text(value)?]),
        Kind::Texts => match value.get_ref().as_array() {
            Some(items) => items.iter().map(text).collect(),
            None => Ok(vec![text(value)?]),
        },
        Kind::Pairs => {
            let wanted = "a table of names";
            let table = value.get_ref().as_table();
            pairs(table.ok_or_else(|| wrong(value, wanted))?)
                .map(|pairs| pairs.iter().map(|it| word(it)).collect())
                .map_err(|value| wrong(value, "a table of texts or numbers"))
        }
    }
}

/// `NAME=VALUE` for each entry; of a table of tables `NAME:FIELD=VALUE`. Else the value that is neither.
fn pairs<'a, 'i>(table: &'a DeTable<'i>) -> Result<Vec<String>, &'a Spanned<DeValue<'i>>> {
    let plain = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        _ => None,
    };
    let mut pairs = Vec::new();
    for (name, value) in table {
        let name = name.get_ref();
        if let Some(text) = plain(value.get_ref()) {
            pairs.push(format!("{name}={text}"));
            continue;
        }
        let fields = value.get_ref().as_table().ok_or(value)?;
        for (field, value) in fields {
            let text = plain(value.get_ref()).ok_or(value)?;
            let field = field.get_ref().replace('_', "-");
            pairs.push(format!("{name}:{field}={text}"));
        }
    }
    Ok(pairs)
}

fn place(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |it| it + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<String>, String> {
        let file = ConfigFile::parse(Path::new("c.toml"), text);
        let words = |it: ConfigFile| it.settings.into_iter().flat_map(|it| it.words).collect();
        file.map(words).map_err(|it| it.to_string())
    }

    #[test]
    fn settings_become_words_of_the_command_line() {
        let text = "listen = \"0.0.0.0:80\"\nmodel = [\"a\", \"b\"]\nrunning_max = 1_6\n\
                    memory_max = \"6GB\"\nload_on_demand = true\nkv_cache_type = \"q8_0\"\n\
                    alias = { fast = \"a\" }\n[limit.\"o/r:f.gguf\"]\nkv_tokens = 4096\nqueue_max = 0x10\n";
        let words = parse(text);
        let expected = [
            "--listen=0.0.0.0:80",
            "--model=a",
            "--model=b",
            "--running-max=16",
            "--memory-max=6GB",
            "--load-on-demand",
            "--kv-cache-type=q8_0",
            "--alias=fast=a",
            "--limit=o/r:f.gguf:kv-tokens=4096",
        ];
        assert_eq!(words.unwrap()[..expected.len()], expected);
        assert_eq!(parse("load_on_demand = false\n").unwrap(), [""; 0]);
        assert_eq!(
            parse("memory_max = 5000\nmodel = \"a\"").unwrap(),
            ["--memory-max=5000", "--model=a"]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_column_and_what_may_be_meant() {
        for (text, told) in [
            (
                "lisen = \"a\"",
                "c.toml:1:1: there is no setting `lisen`; did you mean `listen`?",
            ),
            (
                "# ü\n running-max = 3",
                "c.toml:2:2: there is no setting `running-max`; did you mean `running_max`?",
            ),
            (
                "running_max = \"many\"",
                "c.toml:1:15: `running_max` must be a whole number, and this is of the type string",
            ),
            (
                "threads = 1\nmodel = [\"a\", 3]",
                "c.toml:2:15: `model` must be a text, and this is of the type integer",
            ),
            (
                "load_on_demand = 1",
                "c.toml:1:18: `load_on_demand` must be true or false",
            ),
            (
                "[limit.a.b]\nkv_tokens = 1",
                "must be a table of texts or numbers",
            ),
            ("keys = 1\nkeys = 2", "c.toml:2:1: duplicate key"),
            ("x = ", "c.toml:1:"),
            (
                "temperature = 1",
                "there is no setting `temperature`; there are: ",
            ),
        ] {
            let found = parse(text).unwrap_err();
            assert!(found.contains(told), "{text}\n{found}");
        }
        assert!(parse("config = \"c\"").is_err() && parse("help = true").is_err());
    }
}
