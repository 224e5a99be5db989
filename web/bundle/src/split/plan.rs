//! Which functions of a module go where when it is cut, and where they find each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cut, SplitError};
use crate::contents::Contents;

/// What goes where.
pub(super) struct Plan {
    /// The imported function that fetches the second part.
    pub(super) fetch: u32,
    /// The functions of the second part.
    pub(super) moved: BTreeSet<u32>,
    /// By one of them: its slot, where the first part or a pointer calls it.
    pub(super) slots: BTreeMap<u32, u32>,
    /// How many slots the first table gets beyond those it has.
    pub(super) added: u32,
    /// By function that stays: its index in the first part. Behind them lie those that fetch, in the order of `slots`.
    pub(super) first: BTreeMap<u32, u32>,
    /// Functions of the first part that the second calls.
    pub(super) shared: BTreeSet<u32>,
}

impl Plan {
    pub(super) fn new(contents: &Contents<'_>, cut: &Cut<'_>) -> Result<Plan, SplitError> {
        let unfit = |why: &str| SplitError::Unfit(why.to_owned());
        if let Some(obstacle) = contents.obstacle {
            return Err(unfit(obstacle));
        }
        let fetch =
            (0..contents.imported).find(|&import| contents.imports[import as usize].contains(cut.fetch));
        let fetch = fetch.ok_or_else(|| SplitError::Unfit(format!("it does not import `{}`", cut.fetch)))?;
        if contents.names.is_empty() {
            return Err(unfit("its functions have no names"));
        }
        let moved = moved(contents, cut.paths);
        let stays = |function: &u32| !moved.contains(function);
        let mut slots = BTreeMap::new();
        for (&slot, &function) in contents.slots.iter().filter(|(_, function)| moved.contains(function)) {
            slots.entry(function).or_insert(slot);
        }
        let table = contents.tables.first().ok_or_else(|| unfit("it has no table"))?;
        let (size, mut added) = (table.initial as u32, 0);
        for caller in contents.own().filter(stays) {
            for callee in contents.callees(caller).iter().filter(|callee| moved.contains(callee)) {
                slots.entry(*callee).or_insert_with(|| {
                    added += 1;
                    size + added - 1
                });
            }
        }
        let first = (0..contents.types.len() as u32).filter(stays).zip(0..).collect();
        let called = moved.iter().flat_map(|&function| contents.callees(function));
        let shared = called.copied().filter(stays).collect();
        Ok(Plan { fetch, moved, slots, added, first, shared })
    }

    /// By slot: the function that belongs there.
    pub(super) fn by_slot(&self) -> BTreeMap<u32, u32> {
        self.slots.iter().map(|(&function, &slot)| (slot, function)).collect()
    }

    /// Runs of neighbouring slots, with what lies in them.
    pub(super) fn runs(&self, of: impl Fn(u32) -> u32) -> Vec<(u32, Vec<u32>)> {
        let mut runs: Vec<(u32, Vec<u32>)> = Vec::new();
        for (slot, function) in self.by_slot() {
            match runs.last_mut() {
                Some((begin, run)) if *begin + run.len() as u32 == slot => run.push(of(function)),
                _ => runs.push((slot, vec![of(function)])),
            }
        }
        runs
    }
}

/// The functions that nothing reaches but through functions of `paths`, those included.
fn moved(contents: &Contents<'_>, paths: &[&str]) -> BTreeSet<u32> {
    let lies_there = |function: u32| {
        // `<a::b::T as Trait>::f` and `<&a::b::T>::f` lie in `a::b` too.
        let name = contents.name(function).trim_start_matches(['<', '&', '*', '(', '[']);
        paths.iter().any(|path| name.starts_with(path))
    };
    let mut kept = BTreeSet::new();
    let mut next: Vec<u32> = contents.roots.clone();
    next.extend(contents.slots.values().copied().filter(|&function| !lies_there(function)));
    while let Some(function) = next.pop() {
        if kept.insert(function) && function >= contents.imported {
            next.extend(contents.callees(function).iter().copied().filter(|&callee| !lies_there(callee)));
        }
    }
    contents.own().filter(|function| !kept.contains(function)).collect()
}
