//! What naga says of one flattened variant, and the limits that hold for one variant alone.

use std::collections::BTreeMap;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{
    AddressSpace, Expression, GlobalVariable, Handle, Literal, Module, Scalar, Span, StorageAccess, TypeInner,
};

use super::diagnose::Flat;
use super::flatten::{Variant, is_snake_case};

/// WebGPU's guaranteed limits, which every variant without the flag `UPGRADE` keeps.
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16384;
/// No adapter has to give more; upgrades keep it too, since the bindings of all variants are the same.
const MAX_STORAGE_BINDINGS: usize = 8;

/// What a name in WGSL may be, but a Rust field may not.
const RUST_KEYWORDS: &[&str] = &[
    "as", "box", "do", "dyn", "extern", "gen", "impl", "in", "match", "mod", "move", "mut", "priv", "pub",
    "ref", "self", "static", "super", "trait", "try", "type", "unsafe", "use", "where", "yield",
];

/// `BindingKind` of the crate, by the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Params,
    Uniform,
    Input,
    Output,
}

#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) min_size: u32,
    /// The name of the uniform's struct.
    pub(crate) uniform: Option<String>,
    /// The shape: the comment after the declaration.
    pub(crate) doc: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) workgroup: [u32; 3],
    pub(crate) workgroup_bytes: u32,
    pub(crate) bindings: Vec<Binding>,
}

/// A struct that the host writes, a uniform or the elements of an array: fields of 4 bytes, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: &'static str,
    pub(crate) doc: Option<String>,
}

/// One variant of one family.
#[derive(Debug)]
pub(crate) struct Reflection {
    pub(crate) variant: Variant,
    /// What the device compiles.
    pub(crate) source: String,
    /// By name.
    pub(crate) entries: Vec<Entry>,
    /// By name.
    pub(crate) structs: Vec<Struct>,
    /// The module's `u32` constants.
    pub(crate) consts: BTreeMap<String, u32>,
    pub(crate) subgroups: bool,
    pub(crate) f16: bool,
    pub(crate) int64: bool,
}

/// Parses, validates and reflects one variant of `family`.
///
/// # Errors
/// Every failure of this variant.
pub(crate) fn reflect(family: &str, variant: &Variant, flat: &Flat) -> Result<Reflection, Vec<String>> {
    let basic = Capabilities::default();
    let optional = Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_INT64;
    let all = basic | optional;
    let (module, info) = validate(flat, all).map_err(|failure| vec![failure])?;

    let device = Flat { text: all_read_write(&compact(&flat.text)), ..flat.clone() };
    validate(&device, all).map_err(|failure| vec![failure])?;

    let mut reflector =
        Reflector { family, variant, flat, module: &module, info: &info, failures: Vec::new() };
    let structs = reflector.structs();
    let entries = reflector.entries();
    let consts = reflector.consts();
    if let Some((handle, _)) = module.overrides.iter().next() {
        let span = module.overrides.get_span(handle);
        reflector.failures.push(flat.error(span, "`override`: sizes are `const`, set by #variant"));
    }
    if !reflector.failures.is_empty() {
        return Err(reflector.failures);
    }
    let needs =
        |capability| Validator::new(ValidationFlags::all(), all - capability).validate(&module).is_err();
    Ok(Reflection {
        variant: variant.clone(),
        source: device.text,
        entries,
        structs,
        consts,
        subgroups: needs(Capabilities::SUBGROUP),
        f16: needs(Capabilities::SHADER_FLOAT16),
        int64: needs(Capabilities::SHADER_INT64),
    })
}

fn validate(flat: &Flat, capabilities: Capabilities) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(&flat.text).map_err(|error| flat.parse_error(&error))?;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| flat.validation_error(&error))?;
    Ok((module, info))
}

/// Without comments and indentation, which a browser would have to download: line by line, so that what a driver says of
/// a line is still about the same one.
fn compact(text: &str) -> String {
    // WGSL has no text in which `//` could stand; `/* */` it has, and its `//` begins no comment.
    if text.contains("/*") {
        return text.to_owned();
    }
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or("").trim());
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Makes every storage binding `read_write`: inputs and outputs share buffers, and WebGPU refuses a buffer that one
/// dispatch binds both ways.
fn all_read_write(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("var<") {
        let (before, declaration) = rest.split_at(start);
        let Some(end) = declaration.find('>') else { break };
        let words: Vec<_> = declaration["var<".len()..end].split(',').map(str::trim).collect();
        out.push_str(before);
        match words.as_slice() {
            ["storage"] | ["storage", "read"] => out.push_str("var<storage, read_write>"),
            _ => out.push_str(&declaration[..=end]),
        }
        rest = &declaration[end + 1..];
    }
    out + rest
}

struct Reflector<'a> {
    family: &'a str,
    variant: &'a Variant,
    flat: &'a Flat,
    module: &'a Module,
    info: &'a ModuleInfo,
    failures: Vec<String>,
}

impl Reflector<'_> {
    fn fail(&mut self, span: Span, message: &str) {
        self.failures.push(self.flat.error(span, message));
    }

    /// Field names must be Rust names as well.
    fn check_name(&mut self, span: Span, name: &str) {
        if !is_snake_case(name) || RUST_KEYWORDS.contains(&name) {
            self.fail(span, &format!("`{name}` becomes a Rust field: snake_case, and no keyword"));
        }
    }

    fn structs(&mut self) -> Vec<Struct> {
        let mut structs = BTreeMap::new();
        for (handle, global) in self.module.global_variables.iter() {
            let ty = match (global.space, &self.module.types[global.ty].inner) {
                (AddressSpace::Uniform, _) => global.ty,
                (AddressSpace::Storage { .. }, TypeInner::Array { base, .. }) => *base,
                _ => continue,
            };
            let span = self.module.types.get_span(ty);
            match (&self.module.types[ty].inner, &self.module.types[ty].name) {
                (TypeInner::Struct { members, .. }, Some(name)) => {
                    let fields = members
                        .iter()
                        .enumerate()
                        .filter_map(|(i, member)| self.field(span, name, i, member))
                        .collect::<Vec<_>>();
                    structs.insert(name.clone(), fields);
                }
                _ if global.space == AddressSpace::Uniform => self
                    .fail(self.module.global_variables.get_span(handle), "a uniform is a struct of scalars"),
                _ => {}
            }
        }
        structs.into_iter().map(|(name, fields)| Struct { name, fields }).collect()
    }

    fn field(&mut self, span: Span, owner: &str, index: usize, member: &naga::StructMember) -> Option<Field> {
        let name = member.name.clone().unwrap_or_default();
        self.check_name(span, &name);
        let ty = match self.module.types[member.ty].inner {
            TypeInner::Scalar(Scalar::U32) => "u32",
            TypeInner::Scalar(Scalar::I32) => "i32",
            TypeInner::Scalar(Scalar::F32) => "f32",
            _ => {
                self.fail(span, &format!("`{owner}.{name}` is not a u32, i32 or f32"));
                return None;
            }
        };
        if member.offset as usize != 4 * index {
            self.fail(span, &format!("`{owner}.{name}` is not at byte {}", 4 * index));
        }
        let doc = self.flat.lines_of(span).and_then(|(first, last)| {
            let lines = self.flat.text.lines().skip(first).take(last - first + 1);
            let mut lines = lines.filter(|line| {
                line.split(':')
                    .next()
                    .is_some_and(|start| start.split_whitespace().last() == Some(name.as_str()))
            });
            comment(lines.next()?)
        });
        Some(Field { name, ty, doc })
    }

    fn entries(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (index, entry) in self.module.entry_points.iter().enumerate() {
            let span = self.entry_span(&entry.name);
            let uses = self.info.get_entry_point(index);
            let mut bindings = Vec::new();
            let mut workgroup_bytes = 0;
            for (handle, global) in self.module.global_variables.iter() {
                if uses[handle].is_empty() {
                    continue;
                }
                match global.space {
                    // Each variable counts as WebGPU counts it against the limit.
                    AddressSpace::WorkGroup => workgroup_bytes += self.size(global).next_multiple_of(16),
                    AddressSpace::Private => {}
                    _ => bindings.extend(self.binding(handle, global)),
                }
            }
            bindings.sort_by_key(|binding| binding.number);
            let entry = Entry {
                name: entry.name.clone(),
                workgroup: entry.workgroup_size,
                workgroup_bytes,
                bindings,
            };
            self.check_entry(span, &entry);
            entries.push(entry);
        }
        if entries.is_empty() {
            self.fail(Span::UNDEFINED, "no entry point");
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    fn check_entry(&mut self, span: Span, entry: &Entry) {
        let name = &entry.name;
        let rest = name.strip_prefix(self.family).and_then(|rest| rest.strip_prefix('_'));
        if !rest.is_some_and(is_snake_case) {
            self.fail(
                span,
                &format!("entry point `{name}` is not called `{}_...` in snake_case", self.family),
            );
        }
        let count = |kinds: &[Kind]| entry.bindings.iter().filter(|b| kinds.contains(&b.kind)).count();
        if count(&[Kind::Params]) == 0 {
            self.fail(span, &format!("entry point `{name}` does not use its uniform `p`"));
        }
        if count(&[Kind::Output]) == 0 {
            self.fail(span, &format!("entry point `{name}` writes no binding"));
        }
        let storage = count(&[Kind::Input, Kind::Output]);
        if storage > MAX_STORAGE_BINDINGS {
            self.fail(
                span,
                &format!(
                    "entry point `{name}` has {storage} storage bindings, more than {MAX_STORAGE_BINDINGS}"
                ),
            );
        }
        if self.variant.defines.contains("UPGRADE") {
            return;
        }
        let invocations: u32 = entry.workgroup.iter().product();
        if invocations > MAX_INVOCATIONS {
            self.fail(span, &format!(
                "entry point `{name}` has {invocations} invocations in a workgroup, more than {MAX_INVOCATIONS}: \
                 mark the variant UPGRADE"
            ));
        }
        if entry.workgroup_bytes > MAX_WORKGROUP_BYTES {
            let bytes = entry.workgroup_bytes;
            self.fail(span, &format!(
                "entry point `{name}` has {bytes} bytes of workgroup memory, more than {MAX_WORKGROUP_BYTES}: \
                 mark the variant UPGRADE"
            ));
        }
    }

    fn binding(&mut self, handle: Handle<GlobalVariable>, global: &GlobalVariable) -> Option<Binding> {
        let span = self.module.global_variables.get_span(handle);
        let name = global.name.clone().unwrap_or_default();
        self.check_name(span, &name);
        let kind = match global.space {
            AddressSpace::Uniform if name == "p" => Kind::Params,
            AddressSpace::Uniform => Kind::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Kind::Output,
            AddressSpace::Storage { .. } => Kind::Input,
            _ => {
                self.fail(span, &format!("`{name}` is neither a uniform nor a storage buffer"));
                return None;
            }
        };
        let place = global.binding?;
        if place.group != 0 {
            self.fail(span, &format!("`{name}` is in group {}, not 0", place.group));
        }
        if (kind == Kind::Params) != (place.binding == 0) {
            self.fail(
                span,
                &format!("`{name}` is binding {}: 0 is for the uniform `p`, and only for it", place.binding),
            );
        }
        let uniform = match kind {
            Kind::Params | Kind::Uniform => self.module.types[global.ty].name.clone(),
            Kind::Input | Kind::Output => None,
        };
        let line = self.flat.lines_of(span).and_then(|(_, last)| self.flat.text.lines().nth(last));
        Some(Binding {
            name,
            number: place.binding,
            kind,
            min_size: self.size(global),
            uniform,
            doc: line.and_then(comment),
        })
    }

    /// Bytes; a runtime array counts one element.
    fn size(&self, global: &GlobalVariable) -> u32 {
        self.module.types[global.ty].inner.size(self.module.to_ctx())
    }

    fn consts(&mut self) -> BTreeMap<String, u32> {
        let mut consts = BTreeMap::new();
        for (handle, constant) in self.module.constants.iter() {
            let is_u32 = self.module.types[constant.ty].inner == TypeInner::Scalar(Scalar::U32);
            if let (Some(name), true) = (&constant.name, is_u32) {
                self.check_name(self.module.constants.get_span(handle), &name.to_lowercase());
                if let Some(value) = self.value(constant.init) {
                    consts.insert(name.clone(), value);
                }
            }
        }
        consts
    }

    fn value(&self, init: Handle<Expression>) -> Option<u32> {
        match self.module.global_expressions[init] {
            Expression::Literal(Literal::U32(value)) => Some(value),
            Expression::Constant(other) => self.value(self.module.constants[other].init),
            Expression::ZeroValue(_) => Some(0),
            _ => None,
        }
    }

    /// naga keeps no span of an entry point.
    fn entry_span(&self, name: &str) -> Span {
        let declaration = format!("fn {name}(");
        let start = self.flat.text.find(&declaration);
        start.map_or(Span::UNDEFINED, |start| Span::from(start..start + declaration.len() - 1))
    }
}

fn comment(line: &str) -> Option<String> {
    let text = line.split_once("//")?.1.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
