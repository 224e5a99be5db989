//! The Rust text of `kernels.rs`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Output;
use super::family::Family;
use super::reflect::{Binding, Entry, Kind, Struct};

/// Writes the Rust text and names the WGSL files that it includes.
pub(crate) fn emit(families: &[Family]) -> Output {
    let mut rust = String::new();
    let mut sources = BTreeMap::new();
    let mut all = String::new();
    for family in families {
        let name = &family.name;
        let _ = write!(rust, "/// `shaders/{name}.wgsl`.\npub mod {name} {{\n");
        for host in &family.first().structs {
            emit_struct(&mut rust, host);
        }
        emit_variant(&mut rust, family);
        for (index, entry) in family.first().entries.iter().enumerate() {
            emit_entry(&mut rust, family, index);
            for variant in 0..family.variants.len() {
                let _ = writeln!(all, "    &{name}::{}[{variant}],", entry.name.to_uppercase());
            }
        }
        rust.push_str("}\n\n");
        for variant in &family.variants {
            sources.insert(file_name(name, &variant.variant.name), variant.source.clone());
        }
    }
    let _ = write!(
        rust,
        "/// Every entry point in every variant.\npub static ALL: &[&crate::gpu::kernel::KernelDesc] = &[\n{all}];\n"
    );
    Output { rust, sources }
}

fn file_name(family: &str, variant: &str) -> String {
    format!("{family}.{variant}.wgsl")
}

fn upper_camel(name: &str) -> String {
    let word = |word: &str| {
        let (head, tail) = word.split_at(word.len().min(1));
        head.to_uppercase() + tail
    };
    name.split('_').map(word).collect()
}

fn emit_doc(rust: &mut String, doc: Option<&str>) {
    if let Some(doc) = doc {
        // As code: shapes and formulas are full of brackets and stars.
        let _ = writeln!(rust, "    /// `{}`", doc.replace('`', ""));
    }
}

fn emit_struct(rust: &mut String, host: &Struct) {
    rust.push_str(
        "#[repr(C)]\n#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]\n",
    );
    let _ = writeln!(rust, "pub struct {} {{", host.name);
    for field in &host.fields {
        emit_doc(rust, field.doc.as_deref());
        let _ = writeln!(rust, "    pub {}: {},", field.name, field.ty);
    }
    rust.push_str("}\n\n");
}

fn emit_variant(rust: &mut String, family: &Family) {
    let consts = family.shared_consts();
    let mut cases = String::new();
    let mut list = String::new();
    let mut names = String::new();
    let mut values = String::new();
    for reflection in &family.variants {
        let name = &reflection.variant.name;
        let case = upper_camel(name);
        let _ = writeln!(cases, "    {case},");
        let _ = write!(list, "Self::{case}, ");
        let _ = writeln!(names, "            Self::{case} => {name:?},");
        let fields: String = consts
            .iter()
            .map(|name| format!("{}: {}, ", name.to_lowercase(), reflection.consts[*name]))
            .collect();
        let _ = writeln!(values, "            Self::{case} => Consts {{ {fields}}},");
    }
    let fields: String = consts
        .iter()
        .map(|name| format!("    /// `{name}`\n    pub {}: u32,\n", name.to_lowercase()))
        .collect();
    let _ = write!(
        rust,
        "#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\n\
         pub enum Variant {{\n{cases}}}\n\n\
         /// The `u32` constants that every variant has.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq)]\n\
         pub struct Consts {{\n{fields}}}\n\n\
         impl Variant {{\n\
         \x20   /// In the file's order.\n\
         \x20   pub const ALL: &'static [Self] = &[{list}];\n\n\
         \x20   /// As the file's `#variant` has it.\n\
         \x20   pub fn name(self) -> &'static str {{\n        match self {{\n{names}        }}\n    }}\n\n\
         \x20   /// The variant that the file calls `name`.\n\
         \x20   pub fn parse(name: &str) -> Option<Self> {{\n\
         \x20       Self::ALL.iter().copied().find(|variant| variant.name() == name)\n    }}\n\n\
         \x20   /// This variant's values.\n\
         \x20   pub const fn consts(self) -> Consts {{\n        match self {{\n{values}        }}\n    }}\n\
         }}\n\n",
    );
}

fn emit_entry(rust: &mut String, family: &Family, index: usize) {
    let entry = &family.first().entries[index];
    let table = entry.name.to_uppercase();
    let ty = upper_camel(&entry.name);
    let _ = writeln!(
        rust,
        "pub(super) static {table}: [crate::gpu::kernel::KernelDesc; {}] = [",
        family.variants.len()
    );
    for reflection in &family.variants {
        let entry = &reflection.entries[index];
        let variant = &reflection.variant.name;
        let bindings: String = entry.bindings.iter().map(binding_desc).collect();
        let file = file_name(&family.name, variant);
        let mut source = format!("include_str!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))");
        if reflection.int64 {
            // No browser has 64-bit integers: it would download the text for nothing.
            source = format!("if cfg!(target_family = \"wasm\") {{ \"\" }} else {{ {source} }}");
        }
        let _ = write!(
            rust,
            "    crate::gpu::kernel::KernelDesc {{\n\
             \x20       family: {:?},\n\
             \x20       entry: {:?},\n\
             \x20       variant: {variant:?},\n\
             \x20       source: {source},\n\
             \x20       workgroup: {:?},\n\
             \x20       workgroup_bytes: {},\n\
             \x20       bindings: &[\n{bindings}        ],\n\
             \x20       subgroups: {},\n\
             \x20       f16: {},\n\
             \x20       int64: {},\n\
             \x20   }},\n",
            family.name,
            entry.name,
            entry.workgroup,
            entry.workgroup_bytes,
            reflection.subgroups,
            reflection.f16,
            reflection.int64,
        );
    }
    rust.push_str("];\n\n");
    emit_kernel(rust, entry, &table, &ty);
}

fn emit_kernel(rust: &mut String, entry: &Entry, table: &str, ty: &str) {
    let _ = writeln!(rust, "/// `{}`.\n#[derive(Clone, Copy)]\npub struct {ty}<'a> {{", entry.name);
    let mut views = String::new();
    for binding in &entry.bindings {
        emit_doc(rust, binding.doc.as_deref());
        let name = &binding.name;
        let field = match (binding.kind, &binding.uniform) {
            (Kind::Params, Some(uniform)) => uniform.clone(),
            _ => "&'a crate::gpu::buffer::View".to_owned(),
        };
        let _ = writeln!(rust, "    pub {name}: {field},");
        if binding.kind != Kind::Params {
            let _ = write!(views, "self.{name}, ");
        }
    }
    let _ = write!(
        rust,
        "}}\n\n\
         impl crate::gpu::kernel::Kernel for {ty}<'_> {{\n\
         \x20   type Variant = Variant;\n\n\
         \x20   fn desc(variant: Variant) -> &'static crate::gpu::kernel::KernelDesc {{\n\
         \x20       &{table}[variant as usize]\n    }}\n\n\
         \x20   fn params(&self) -> &[u8] {{\n        bytemuck::bytes_of(&self.p)\n    }}\n\n\
         \x20   fn views(&self) -> Vec<&crate::gpu::buffer::View> {{\n        vec![{views}]\n    }}\n\
         }}\n\n",
    );
}

fn binding_desc(binding: &Binding) -> String {
    format!(
        "            crate::gpu::kernel::BindingDesc {{ name: {:?}, binding: {}, \
         kind: crate::gpu::kernel::BindingKind::{:?}, min_size: {} }},\n",
        binding.name, binding.number, binding.kind, binding.min_size
    )
}
