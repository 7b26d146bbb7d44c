//! The command line, the environment and the file as one, and what came from where.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches};

use super::file::ConfigFile;
use super::options::{CONFIG, command, key, options};
use crate::arguments::Arguments;

/// The models stand in two places of the command line, of which either takes the place of a file's.
const POSITIONAL: (&str, &str) = ("model", "named");

/// Everything that was asked for.
#[derive(Debug)]
pub(crate) struct Merged {
    /// What was typed, with the environment and the defaults.
    typed: ArgMatches,
    /// The same with what the file says.
    matches: ArgMatches,
    file: Option<ConfigFile>,
}

/// Why there is nothing to be done.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The command line asks for help, or is wrong.
    CommandLine(clap::Error),
    /// The file is wrong.
    File(anyhow::Error),
}

/// A setting as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its name in a file.
    pub(crate) key: String,
    /// Its values as they were written; none where nothing sets it.
    pub(crate) values: Vec<String>,
    /// Where it comes from.
    pub(crate) origin: String,
    pub(crate) shown: Shown,
}

/// How a setting's value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As it was written.
    Value,
    /// As true or false.
    Flag,
    /// Not at all.
    Secret,
}

/// Reads the command line `words`, the program's name first, and the file that they name.
pub(crate) fn merge(words: &[OsString]) -> Result<Merged, Fault> {
    let typed = matches_of(words)?;
    let Some(path) = config_of(&typed) else {
        let matches = typed.clone();
        return Ok(Merged {
            typed,
            matches,
            file: None,
        });
    };
    let file = ConfigFile::read(&path).map_err(Fault::File)?;
    check(&file)?;
    let mut all = words.to_vec();
    let place = end_of_commands(words, &typed);
    all.splice(place..place, extras(&file, innermost(&typed).1));
    Ok(Merged {
        matches: matches_of(&all)?,
        typed,
        file: Some(file),
    })
}

impl Merged {
    /// The arguments as the program takes them.
    pub(crate) fn arguments(&self) -> Result<Arguments, Fault> {
        Arguments::from_arg_matches(&self.matches).map_err(Fault::CommandLine)
    }

    /// All settings, in the order of the command line's help.
    pub(crate) fn told(&self) -> Vec<Told> {
        options().iter().map(|it| self.told_of(it)).collect()
    }

    fn told_of(&self, option: &Arg) -> Told {
        let id = option.get_id().as_str();
        let values = match option.get_action() {
            ArgAction::SetTrue => vec![self.of(id, |it| it.get_flag(id)).to_string()],
            _ => self.of(id, |it| {
                let raw = it.get_raw(id).into_iter().flatten();
                raw.map(|it| it.to_string_lossy().into_owned()).collect()
            }),
        };
        let typed = innermost(&self.typed).1;
        let source = typed
            .try_contains_id(id)
            .ok()
            .and_then(|_| typed.value_source(id));
        let origin = match (source, self.setting(id)) {
            (Some(ValueSource::CommandLine), _) => "command line".to_owned(),
            (Some(ValueSource::EnvVariable), _) => {
                let name = option.get_env().and_then(OsStr::to_str);
                format!("environment, {}", name.unwrap_or_default())
            }
            (_, Some(place)) if !is_typed_elsewhere(typed, id) => place,
            _ => "default".to_owned(),
        };
        Told {
            key: key(option),
            values,
            origin,
            shown: match option.get_action() {
                _ if option.is_hide_env_values_set() => Shown::Secret,
                ArgAction::SetTrue => Shown::Flag,
                _ => Shown::Value,
            },
        }
    }

    /// Reads the value of an option, which the command that was asked for may not have.
    fn of<T: Default>(&self, id: &str, read: impl FnOnce(&ArgMatches) -> T) -> T {
        let matches = innermost(&self.matches).1;
        match matches.try_contains_id(id) {
            Ok(_) => read(matches),
            Err(_) => T::default(),
        }
    }

    fn setting(&self, id: &str) -> Option<String> {
        let file = self.file.as_ref()?;
        let setting = file.settings.iter().find(|it| it.id == id)?;
        Some(format!("{}:{}", file.path.display(), setting.place.line))
    }
}

fn matches_of(words: &[OsString]) -> Result<ArgMatches, Fault> {
    command()
        .try_get_matches_from(words)
        .map_err(Fault::CommandLine)
}

fn config_of(typed: &ArgMatches) -> Option<PathBuf> {
    let matches = innermost(typed).1;
    let path = matches.try_get_one::<PathBuf>(CONFIG).ok()?;
    path.cloned()
}

/// The command that was asked for, as a path of names, and what was said to it.
fn innermost(matches: &ArgMatches) -> (Vec<&str>, &ArgMatches) {
    let (mut names, mut inner) = (Vec::new(), matches);
    while let Some((name, next)) = inner.subcommand() {
        names.push(name);
        inner = next;
    }
    (names, inner)
}

/// Where the options of the innermost command begin: behind the first words that are that command.
fn end_of_commands(words: &[OsString], typed: &ArgMatches) -> usize {
    let (wanted, _) = innermost(typed);
    let is_it = |end: &usize| {
        let begun = command().try_get_matches_from(&words[..*end]);
        begun.is_ok_and(|it| innermost(&it).0 == wanted)
    };
    (1..words.len()).find(is_it).unwrap_or(words.len())
}

/// What the file says and nobody else does.
fn extras(file: &ConfigFile, typed: &ArgMatches) -> Vec<OsString> {
    let is_open = |id: &str| {
        let source = typed.value_source(id);
        matches!(source, None | Some(ValueSource::DefaultValue)) && !is_typed_elsewhere(typed, id)
    };
    let open = file.settings.iter().filter(|it| is_open(&it.id));
    open.flat_map(|it| it.words.iter().map(OsString::from))
        .collect()
}

fn is_typed_elsewhere(typed: &ArgMatches, id: &str) -> bool {
    let (option, positional) = POSITIONAL;
    let is_there = || typed.try_contains_id(positional).unwrap_or(false);
    id == option && is_there()
}

/// Has the command line's own parser look at what the file says, for itself, so that what it refuses can
/// be found in the file.
fn check(file: &ConfigFile) -> Result<(), Fault> {
    let words = file.settings.iter().flat_map(|it| &it.words);
    let line = ["sconce", "serve"].into_iter().map(str::to_owned);
    let refused = match command().try_get_matches_from(line.chain(words.cloned())) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let path = file.path.display();
    let of_option = |it: &&super::file::Setting| match refused.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => it.words.iter().any(|word| {
            let long = word.split('=').next();
            option.split(' ').next() == long
        }),
        _ => false,
    };
    let place = file.settings.iter().find(of_option).map(|it| it.place);
    let place = place.map_or_else(String::new, |it| format!(":{it}"));
    let told = refused.render().to_string();
    let told = told.split("\n\n").next().unwrap_or_default();
    let told: Vec<&str> = told.lines().map(str::trim).collect();
    let told = told.join(" ");
    let told = told.strip_prefix("error: ").unwrap_or(&told);
    Err(Fault::File(anyhow!("{path}{place}: {told}")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::arguments::{Command, ServeArguments};

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn merged(file: &tempfile::NamedTempFile, before: &[&str], after: &[&str]) -> Merged {
        let path = file.path().to_str().unwrap();
        let line = [&["sconce"], before, &["serve", "--config", path], after].concat();
        let line: Vec<OsString> = line.into_iter().map(OsString::from).collect();
        merge(&line).unwrap()
    }

    fn served(merged: &Merged) -> ServeArguments {
        match merged.arguments().unwrap().command {
            Command::Serve(serve) => *serve,
            other => panic!("{other:?}"),
        }
    }

    fn told(merged: &Merged, key: &str) -> (String, String) {
        let mut all = merged.told().into_iter();
        let found = all.find(|it| it.key == key).unwrap();
        (found.values.join(","), found.origin)
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_each_value_tells_its_origin() {
        let file = file(
            "listen = \"127.0.0.1:1\"\nrunning_max = 7\nqueue_max = 8\nlog_format = \"json\"\n",
        );
        let merged = merged(&file, &["--cache-dir", "serve"], &["--queue-max", "9"]);
        let serve = served(&merged);
        assert_eq!(serve.limits.running_max.get(), 7);
        assert_eq!(serve.limits.queue_max, 9);
        assert_eq!(serve.access.listen.port(), 1);
        let path = file.path().display();
        for (key, value, origin) in [
            ("listen", "127.0.0.1:1", format!("{path}:1")),
            ("running_max", "7", format!("{path}:2")),
            ("queue_max", "9", "command line".to_owned()),
            ("log_format", "json", format!("{path}:4")),
            ("cache_dir", "serve", "command line".to_owned()),
            ("drain_timeout_s", "30", "default".to_owned()),
            ("load_on_demand", "false", "default".to_owned()),
            ("threads", "", "default".to_owned()),
        ] {
            assert_eq!(told(&merged, key), (value.to_owned(), origin), "{key}");
        }
    }

    #[test]
    fn models_of_the_command_line_take_the_place_of_the_files_in_either_form() {
        let file = file("model = [\"a\", \"b\"]\n");
        let models = |after: &[&str]| {
            let serve = served(&merged(&file, &[], after));
            (serve.named, serve.model)
        };
        let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(models(&[]), (words(&[]), words(&["a", "b"])));
        assert_eq!(models(&["c"]), (words(&["c"]), words(&[])));
        assert_eq!(models(&["-m", "c"]), (words(&[]), words(&["c"])));
        assert_eq!(models(&["--", "-c"]), (words(&["-c"]), words(&[])));
    }

    #[test]
    fn what_the_command_lines_parser_refuses_is_found_in_the_file() {
        for (text, told) in [
            (
                "threads = 1\nrunning_max = 0\n",
                ":2:1: invalid value '0' for '--running-max <N>'",
            ),
            ("listen = \"here\"\n", ":1:1: invalid value 'here'"),
            ("\n\nkv_cache_type = \"f8\"\n", ":3:1: invalid value 'f8'"),
            ("memory_max = \"much\"\n", ":1:1: invalid value 'much'"),
            ("queue_max = -1\n", ":1:1: invalid value '-1'"),
            ("alias = { a = \"\" }\n", ":1:1: invalid value 'a='"),
            (
                "keys = \"k\"\nallow_host = [\"h\"]\n",
                "cannot be used with",
            ),
        ] {
            let file = file(text);
            let line = ["sconce", "serve", "--config", file.path().to_str().unwrap()];
            let line: Vec<OsString> = line.into_iter().map(OsString::from).collect();
            match merge(&line) {
                Err(Fault::File(error)) => {
                    let found = error.to_string();
                    assert!(found.contains(told), "{text}\n{found}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
