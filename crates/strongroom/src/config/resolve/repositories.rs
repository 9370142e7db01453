use std::collections::BTreeMap;

use super::{Resolver, Settings};
use crate::config::origin::{At, Origin, Setting};
use crate::config::place::{Options, Place};
use crate::config::repository::Repository;
use crate::failure::Failure;
use crate::names::{check_name, nearest};

/// A repository that the configuration gives a name.
#[derive(Clone)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl Settings {
    /// The repository that `text` means: the name of one, or an address. `flag` is where it was said.
    pub(crate) fn place(&self, flag: &'static str, text: &str) -> Result<Place, Failure> {
        if let Some(named) = self.named(text) {
            return Ok(named.place.clone());
        }
        let mut place = Place::of_flag(flag, text)?;
        // What the command line says of a repository, it says of every one.
        if let Some(known) = &self.repository {
            let Options {
                allow_http,
                limit_upload,
                ..
            } = &known.options;
            place.options.allow_http = flag_only(allow_http.as_ref());
            place.options.limit_upload = flag_only(limit_upload.as_ref());
        }
        Ok(place)
    }

    /// The repository of that name.
    pub(crate) fn named(&self, name: &str) -> Option<&Named> {
        self.repositories.iter().find(|named| named.name == name)
    }

    /// All that the configuration and the command line name, some of them perhaps twice.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        let named = self.repositories.iter().map(|named| &named.place);
        self.repository.iter().chain(named)
    }

    /// The same, to be completed.
    pub(crate) fn places_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        let named = self.repositories.iter_mut().map(|named| &mut named.place);
        self.repository.iter_mut().chain(named)
    }
}

fn flag_only<T: Clone>(setting: Option<&Setting<T>>) -> Option<Setting<T>> {
    let flag = setting.filter(|it| matches!(it.origin, Origin::Flag(_)));
    flag.cloned()
}

impl Resolver {
    /// In the order of the file, so that there is a first one.
    pub(super) fn repositories(
        &self,
        single: Option<&At<Repository>>,
        all: BTreeMap<String, At<Repository>>,
    ) -> Result<Vec<Named>, Failure> {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, at)| (at.line, at.column));
        if let (Some(_), Some((_, at))) = (single, all.first()) {
            return Err(self
                .wrong(at, "`repository` and `repositories` exclude each other")
                .hint("give the one in `repository` a name in `repositories`"));
        }
        let named = all.into_iter().map(|(name, at)| {
            check_name(&name).map_err(|error| self.wrong(&at, error.to_string()))?;
            let place = self.place(at)?;
            Ok(Named { name, place })
        });
        named.collect()
    }

    /// The repositories that a job names.
    pub(super) fn named_of(
        &self,
        names: Vec<At<String>>,
        known: &[Named],
    ) -> Result<Vec<Setting<String>>, Failure> {
        let mut seen = Vec::new();
        for at in names {
            let name = &at.value;
            if !known.iter().any(|named| named.name == *name) {
                let failure = self.wrong(
                    &at,
                    format!("there is no repository {name:?} in `repositories`"),
                );
                let known = known.iter().map(|named| &*named.name);
                return Err(match nearest(name, known) {
                    Some(near) => failure.hint(format!("did you mean `{near}`?")),
                    None => failure,
                });
            }
            if seen
                .iter()
                .any(|known: &Setting<String>| known.value == *name)
            {
                return Err(self.wrong(&at, format!("the repository {name} is named twice")));
            }
            seen.push(self.as_is(at));
        }
        Ok(seen)
    }
}
