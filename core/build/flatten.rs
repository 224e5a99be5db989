//! The directives: `#import shared/NAME`, `#variant NAME [FLAG | KEY=VALUE | KEY:TYPE ...]`,
//! `#if FLAG` / `#else` / `#endif`, and `#repeat i COUNT` / `#endrepeat`, each on a line of its own. The lines of a
//! repeat are pasted COUNT times (a number, or a KEY of the variant), with 0, 1, ... in place of `$i`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Sources;
use super::diagnose::{Flat, Origin, at};

/// One `#variant` line.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    /// `base` where the file declares none.
    pub(crate) name: String,
    /// What `#if` asks about: the flags, and the keys of the declarations.
    pub(crate) defines: BTreeSet<String>,
    /// What `#repeat` counts to: the keys whose value is a whole number.
    pub(crate) counts: BTreeMap<String, usize>,
    /// The WGSL that the line stands for: `const KEY = VALUE;` or `alias KEY = TYPE;`.
    pub(crate) declarations: Vec<String>,
    /// The line itself.
    pub(crate) origin: Origin,
}

/// The words of a directive, without `#` and a trailing comment; WGSL itself has no `#`.
fn directive(line: &str) -> Option<Vec<&str>> {
    let words = line.trim_start().strip_prefix('#')?;
    Some(words.split("//").next().unwrap_or("").split_whitespace().collect())
}

/// Whether `name` can be a WGSL and Rust name in snake case.
pub(crate) fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The variants that the family file `path` declares.
///
/// # Errors
/// Malformed or repeated variants, and an `#if` on a flag that no variant defines (a misspelt flag would
/// silently drop code).
pub(crate) fn variants(path: &str, text: &str) -> Result<Vec<Variant>, Vec<String>> {
    let file: Rc<str> = path.into();
    let mut found: Vec<Variant> = Vec::new();
    let mut conditions: Vec<(String, Origin)> = Vec::new();
    let mut failures = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let origin = Origin { file: file.clone(), line: index + 1 };
        match directive(line).as_deref() {
            Some(["variant", name, items @ ..]) => match variant(name, items, origin.clone()) {
                Ok(variant) if found.iter().any(|other| other.name == variant.name) => {
                    failures.push(at(&origin, &format!("variant `{name}` is declared twice")));
                }
                Ok(variant) => found.push(variant),
                Err(message) => failures.push(at(&origin, &message)),
            },
            Some(["variant"]) => failures.push(at(&origin, "#variant needs a name")),
            Some(["if", flag]) => conditions.push(((*flag).to_owned(), origin)),
            _ => {}
        }
    }
    for (flag, origin) in conditions {
        if failures.is_empty() && !found.iter().any(|variant| variant.defines.contains(&flag)) {
            failures.push(at(&origin, &format!("no #variant of this file defines `{flag}`")));
        }
    }
    if found.is_empty() {
        let origin = Origin { file, line: 1 };
        found.push(Variant {
            name: "base".to_owned(),
            defines: BTreeSet::new(),
            counts: BTreeMap::new(),
            declarations: Vec::new(),
            origin,
        });
    }
    if failures.is_empty() { Ok(found) } else { Err(failures) }
}

fn variant(name: &str, items: &[&str], origin: Origin) -> Result<Variant, String> {
    if !is_snake_case(name) {
        return Err(format!("variant name `{name}` is not snake_case"));
    }
    let mut defines = BTreeSet::new();
    let mut counts = BTreeMap::new();
    let mut declarations = Vec::new();
    for item in items {
        let key = if let Some((key, value)) = item.split_once('=') {
            if let Ok(count) = value.trim_end_matches('u').parse() {
                counts.insert(key.to_owned(), count);
            }
            declarations.push(format!("const {key} = {value};"));
            key
        } else if let Some((key, ty)) = item.split_once(':') {
            declarations.push(format!("alias {key} = {ty};"));
            key
        } else {
            item
        };
        if !is_identifier(key) {
            return Err(format!("`{item}` is not FLAG, KEY=VALUE or KEY:TYPE"));
        }
        if !defines.insert(key.to_owned()) {
            return Err(format!("`{key}` is defined twice in variant `{name}`"));
        }
    }
    Ok(Variant { name: name.to_owned(), defines, counts, declarations, origin })
}

/// Expands every directive of the family file `path` for one variant.
///
/// # Errors
/// Unknown or malformed directives, missing or cyclic imports, unbalanced conditions.
pub(crate) fn flatten(sources: &Sources, path: &str, variant: &Variant) -> Result<Flat, String> {
    let mut pasted = Pasted { sources, variant, directives: Vec::new(), body: Vec::new(), files: Vec::new() };
    pasted.paste(path, &mut Vec::new(), &variant.origin)?;

    let declarations = variant.declarations.iter().map(|text| (text.clone(), variant.origin.clone()));
    let lines: Vec<_> = pasted.directives.into_iter().chain(declarations).chain(pasted.body).collect();
    let mut flat = Flat { variant: variant.name.clone(), text: String::new(), origins: Vec::new() };
    for (line, origin) in lines {
        flat.text.push_str(&line);
        flat.text.push('\n');
        flat.origins.push(origin);
    }
    Ok(flat)
}

struct Pasted<'a> {
    sources: &'a Sources,
    variant: &'a Variant,
    /// `enable`, `requires` and `diagnostic` lines: WGSL wants them before everything else.
    directives: Vec<(String, Origin)>,
    body: Vec<(String, Origin)>,
    /// What is already pasted.
    files: Vec<String>,
}

struct Condition {
    origin: Origin,
    active: bool,
    has_else: bool,
}

impl Pasted<'_> {
    /// Pastes `path`, which the files of `stack` import, unless it is already there.
    fn paste(&mut self, path: &str, stack: &mut Vec<String>, from: &Origin) -> Result<(), String> {
        if stack.iter().any(|open| open == path) {
            return Err(at(from, &format!("import cycle: {} -> {path}", stack.join(" -> "))));
        }
        if self.files.iter().any(|file| file == path) {
            return Ok(());
        }
        let Some(text) = self.sources.get(path) else {
            return Err(at(from, &format!("shaders/{path} does not exist")));
        };
        self.files.push(path.to_owned());
        stack.push(path.to_owned());

        let file: Rc<str> = path.into();
        let numbered =
            |(index, line): (usize, &str)| (line.to_owned(), Origin { file: file.clone(), line: index + 1 });
        let lines: Vec<_> = text.lines().enumerate().map(numbered).collect();
        self.paste_lines(&lines, stack)?;
        stack.pop();
        Ok(())
    }

    /// Pastes a file, or the lines of a repeat.
    fn paste_lines(&mut self, lines: &[(String, Origin)], stack: &mut Vec<String>) -> Result<(), String> {
        let is_family = stack.len() == 1;
        let mut conditions: Vec<Condition> = Vec::new();
        let mut rest = lines.iter().enumerate();
        while let Some((index, (line, origin))) = rest.next() {
            let fail = |message: &str| Err(at(origin, message));
            let active = conditions.iter().all(|condition| condition.active);
            let Some(words) = directive(line) else {
                if active {
                    let code = line.trim_start();
                    let is_directive =
                        ["enable ", "requires ", "diagnostic("].iter().any(|start| code.starts_with(start));
                    let lines = if is_directive { &mut self.directives } else { &mut self.body };
                    lines.push((line.clone(), origin.clone()));
                }
                continue;
            };
            match words.as_slice() {
                ["variant", ..] if !is_family => return fail("a shared file has no variants"),
                ["variant", ..] if !conditions.is_empty() => return fail("#variant inside #if"),
                ["variant", ..] => {}
                ["if", flag] if is_identifier(flag) => {
                    let active = self.variant.defines.contains(*flag);
                    conditions.push(Condition { origin: origin.clone(), active, has_else: false });
                }
                ["else"] => match conditions.last_mut() {
                    Some(condition) if !condition.has_else => {
                        condition.active = !condition.active;
                        condition.has_else = true;
                    }
                    _ => return fail("#else without #if"),
                },
                ["endif"] => {
                    if conditions.pop().is_none() {
                        return fail("#endif without #if");
                    }
                }
                ["repeat", name, count] if is_identifier(name) => {
                    let first = index + 1;
                    let Some(length) = end_of_repeat(&lines[first..]) else {
                        return fail("#repeat without #endrepeat");
                    };
                    if active {
                        let counts = &self.variant.counts;
                        let Some(count) = count.parse().ok().or_else(|| counts.get(*count).copied()) else {
                            return fail(&format!(
                                "`{count}` is neither a number nor a number of this variant"
                            ));
                        };
                        self.repeat(name, count, &lines[first..first + length], stack)?;
                    }
                    rest.nth(length);
                }
                ["endrepeat"] => return fail("#endrepeat without #repeat"),
                ["import", name] => {
                    if !name.strip_prefix("shared/").is_some_and(is_snake_case) {
                        return fail("imports are written `#import shared/NAME`");
                    }
                    if active {
                        self.paste(&format!("{name}.wgsl"), stack, origin)?;
                    }
                }
                _ => return fail(&format!("unknown directive `{}`", line.trim())),
            }
        }
        if let Some(open) = conditions.pop() {
            return Err(at(&open.origin, "#if without #endif"));
        }
        Ok(())
    }

    fn repeat(
        &mut self,
        name: &str,
        count: usize,
        lines: &[(String, Origin)],
        stack: &mut Vec<String>,
    ) -> Result<(), String> {
        let name = format!("${name}");
        for i in 0..count {
            let number = i.to_string();
            let numbered = |(line, origin): &(String, Origin)| (line.replace(&name, &number), origin.clone());
            let lines: Vec<_> = lines.iter().map(numbered).collect();
            self.paste_lines(&lines, stack)?;
        }
        Ok(())
    }
}

/// How many of the lines behind a `#repeat` are its own.
fn end_of_repeat(lines: &[(String, Origin)]) -> Option<usize> {
    let mut open = 1;
    lines.iter().position(|(line, _)| {
        match directive(line).as_deref() {
            Some(["repeat", ..]) => open += 1,
            Some(["endrepeat"]) => open -= 1,
            _ => {}
        }
        open == 0
    })
}
