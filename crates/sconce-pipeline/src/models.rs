//! The models that are served, the first of them by default.

use std::sync::Arc;

use crate::{Refusal, ServedModel};

/// The name that stands for the first model, whatever that is called.
const DEFAULT: &str = "default";

/// A list of models, never changed in place: a request keeps the list it began with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Models {
    list: Vec<Arc<ServedModel>>,
}

impl Models {
    pub(crate) fn with(&self, model: ServedModel) -> Self {
        let mut list = self.list.clone();
        list.push(Arc::new(model));
        Self { list }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<ServedModel>> {
        self.list.iter()
    }

    pub(crate) fn find(&self, name: Option<&str>) -> Result<Arc<ServedModel>, Refusal> {
        let found = match name {
            None => self.list.first(),
            Some(name) => {
                let by_name = self.list.iter().find(|it| it.is_called(name));
                by_name.or_else(|| self.list.first().filter(|_| name == DEFAULT))
            }
        };
        found.cloned().ok_or_else(|| Refusal::UnknownModel {
            name: name.unwrap_or(DEFAULT).to_owned(),
            known: self.names(),
        })
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self
            .list
            .iter()
            .map(|it| &*it.name)
            .chain([DEFAULT])
            .collect();
        names.join(", ")
    }
}
