//! A shader file: its variants, which the host must be able to swap for each other.

use std::collections::BTreeMap;

use super::Sources;
use super::diagnose::at;
use super::flatten::{self, is_snake_case};
use super::reflect::{self, Entry, Kind, Reflection};

/// A shader file in all its variants, which have the same entry points, bindings and uniforms.
#[derive(Debug)]
pub(crate) struct Family {
    /// The file's name without `.wgsl`.
    pub(crate) name: String,
    /// In the file's order.
    pub(crate) variants: Vec<Reflection>,
}

impl Family {
    /// Builds the family file `path`.
    ///
    /// # Errors
    /// Every failure of every variant; what differs between variants only where each is right by itself.
    pub(crate) fn build(sources: &Sources, path: &str, text: &str) -> Result<Self, Vec<String>> {
        let name = path.strip_suffix(".wgsl").unwrap_or(path);
        if !is_snake_case(name) {
            return Err(vec![format!("error: shaders/{path}: the file's name is not snake_case")]);
        }
        let mut variants = Vec::new();
        let mut failures = Vec::new();
        for variant in flatten::variants(path, text)? {
            let reflection = flatten::flatten(sources, path, &variant)
                .map_err(|failure| vec![failure])
                .and_then(|flat| reflect::reflect(name, &variant, &flat));
            match reflection {
                Ok(reflection) => variants.push(reflection),
                Err(found) => failures.extend(found),
            }
        }
        let family = Self { name: name.to_owned(), variants };
        if failures.is_empty() {
            failures = family.mismatches();
        }
        if failures.is_empty() { Ok(family) } else { Err(failures) }
    }

    /// The first variant, which every other one agrees with.
    pub(crate) fn first(&self) -> &Reflection {
        &self.variants[0]
    }

    /// The constants that every variant has.
    pub(crate) fn shared_consts(&self) -> Vec<&str> {
        let everywhere = |name: &str| self.variants.iter().all(|variant| variant.consts.contains_key(name));
        self.first().consts.keys().map(String::as_str).filter(|name| everywhere(name)).collect()
    }

    fn mismatches(&self) -> Vec<String> {
        let first = self.first();
        let mut failures = Vec::new();
        for other in &self.variants[1..] {
            let (a, b) = (&first.variant.name, &other.variant.name);
            let mut fail = |message: String| failures.push(at(&other.variant.origin, &message));
            if names(&first.entries) != names(&other.entries) {
                let (ours, theirs) = (names(&first.entries), names(&other.entries));
                fail(format!("entry points differ: {ours:?} in variant `{a}`, {theirs:?} in variant `{b}`"));
                continue;
            }
            for (ours, theirs) in first.entries.iter().zip(&other.entries) {
                if interface(ours) != interface(theirs) {
                    let name = &ours.name;
                    let (ours, theirs) = (interface(ours), interface(theirs));
                    fail(format!(
                        "bindings of `{name}` differ: {ours:?} in variant `{a}`, {theirs:?} in variant `{b}`"
                    ));
                }
            }
            if first.structs != other.structs {
                fail(format!("structs differ between variants `{a}` and `{b}`"));
            }
        }
        let optional = |reflection: &Reflection| reflection.variant.defines.contains("OPTIONAL");
        if !self.variants.iter().all(optional) && !self.variants.iter().any(runs_everywhere) {
            let what = "every variant needs an upgrade (UPGRADE, subgroups, f16 or int64): none runs everywhere, and not all are \
                 marked OPTIONAL";
            failures.push(at(&first.variant.origin, what));
        }
        let mut fields = BTreeMap::new();
        for name in self.shared_consts() {
            if let Some(other) = fields.insert(name.to_lowercase(), name) {
                let what = format!("constants `{other}` and `{name}` differ only in case");
                failures.push(at(&first.variant.origin, &what));
            }
        }
        failures
    }
}

fn runs_everywhere(variant: &Reflection) -> bool {
    !variant.variant.defines.contains("UPGRADE") && !variant.subgroups && !variant.f16 && !variant.int64
}

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

fn interface(entry: &Entry) -> Vec<(u32, &str, Kind)> {
    entry.bindings.iter().map(|binding| (binding.number, binding.name.as_str(), binding.kind)).collect()
}
