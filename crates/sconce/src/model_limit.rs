//! `--limit MODEL:FIELD=VALUE`: what one model takes on, where it differs from the others.

use std::num::NonZeroU32;

/// A limit of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelLimit {
    /// The model, as it was written or by its name.
    pub(crate) model: String,
    pub(crate) change: Change,
}

/// What it is, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    KvTokens(NonZeroU32),
    RunningMax(NonZeroU32),
    QueueMax(u32),
    TextsMax(NonZeroU32),
    IdleUnloadS(u64),
}

impl ModelLimit {
    /// Reads the option's value. A model's name may have colons, a field has none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(place, value)| {
            let (model, field) = place.rsplit_once(':')?;
            Some((model, field, value)).filter(|_| !model.is_empty())
        });
        let (model, field, value) = parts.ok_or("a limit is of the form MODEL:FIELD=VALUE")?;
        let number = value.parse::<u32>();
        let number = number.map_err(|_| format!("{value:?} is no number for {field}"))?;
        let counted = NonZeroU32::new(number).ok_or(format!("{field} must be at least 1"));
        let change = match field {
            "kv-tokens" => Change::KvTokens(counted?),
            "running-max" => Change::RunningMax(counted?),
            "queue-max" => Change::QueueMax(number),
            "texts-max" => Change::TextsMax(counted?),
            "idle-unload-s" => Change::IdleUnloadS(u64::from(number)),
            _ => {
                return Err(format!(
                    "{field:?} is no limit of a model; there are kv-tokens, running-max, queue-max, \
                     texts-max and idle-unload-s"
                ));
            }
        };
        Ok(Self {
            model: model.to_owned(),
            change,
        })
    }

    /// The field, as it is written.
    pub(crate) fn field(&self) -> &'static str {
        match self.change {
            Change::KvTokens(_) => "kv-tokens",
            Change::RunningMax(_) => "running-max",
            Change::QueueMax(_) => "queue-max",
            Change::TextsMax(_) => "texts-max",
            Change::IdleUnloadS(_) => "idle-unload-s",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_its_model_and_what_is_wrong_is_told() {
        let limit = ModelLimit::parse("o/r:a.gguf:kv-tokens=4096").unwrap();
        assert_eq!(limit.model, "o/r:a.gguf");
        assert_eq!(
            limit.change,
            Change::KvTokens(NonZeroU32::new(4096).unwrap())
        );
        for (text, part) in [
            ("a:kv-tokens", "MODEL:FIELD=VALUE"),
            (":kv-tokens=1", "MODEL:FIELD=VALUE"),
            ("kv-tokens=1", "MODEL:FIELD=VALUE"),
            ("a:kv-tokens=0", "at least 1"),
            ("a:queue-max=many", "no number"),
            ("a:colour=1", "there are kv-tokens"),
        ] {
            let told = ModelLimit::parse(text).unwrap_err();
            assert!(told.contains(part), "{text}: {told}");
        }
    }
}
