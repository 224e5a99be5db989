//! What a wasm module holds, as far as cutting it in two has to know: functions with their names and callees, the table of
//! functions that are called through pointers, and what everything else shares.

use std::collections::BTreeMap;

use wasmparser::{
    BinaryReaderError, ElementItems, ElementKind, FunctionBody, GlobalType, KnownCustom, MemoryType, Name,
    Operator, Parser, Payload, TableType, TypeRef,
};

/// One module, read. Indices count imported functions first, as wasm does.
#[derive(Default)]
pub(crate) struct Contents<'a> {
    /// By type: how many parameters a function of it has; none for what is no function.
    pub(crate) parameters: Vec<u32>,
    /// By function: its type.
    pub(crate) types: Vec<u32>,
    /// How many of them are imported.
    pub(crate) imported: u32,
    /// By imported function: its name.
    pub(crate) imports: Vec<&'a str>,
    /// By own function: its code.
    pub(crate) bodies: Vec<FunctionBody<'a>>,
    /// By own function: what it calls by name, or takes a reference of.
    pub(crate) callees: Vec<Vec<u32>>,
    /// By function, where it has one.
    pub(crate) names: BTreeMap<u32, &'a str>,
    pub(crate) tables: Vec<TableType>,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) globals: Vec<GlobalType>,
    /// By place in the first table: the function.
    pub(crate) slots: BTreeMap<u32, u32>,
    /// What the module's user, or its start, can call, and what is referred to from where it cannot be told apart.
    pub(crate) roots: Vec<u32>,
    /// Why it cannot be cut, where it cannot.
    pub(crate) obstacle: Option<&'static str>,
}

impl<'a> Contents<'a> {
    pub(crate) fn read(wasm: &'a [u8]) -> Result<Contents<'a>, BinaryReaderError> {
        let mut contents = Contents::default();
        for payload in Parser::new(0).parse_all(wasm) {
            contents.section(payload?)?;
        }
        Ok(contents)
    }

    /// The name of a function, empty where it has none.
    pub(crate) fn name(&self, function: u32) -> &'a str {
        self.names.get(&function).copied().unwrap_or_default()
    }

    /// The functions that are not imported.
    pub(crate) fn own(&self) -> std::ops::Range<u32> {
        self.imported..self.types.len() as u32
    }

    pub(crate) fn body(&self, function: u32) -> &FunctionBody<'a> {
        &self.bodies[(function - self.imported) as usize]
    }

    pub(crate) fn callees(&self, function: u32) -> &[u32] {
        &self.callees[(function - self.imported) as usize]
    }

    fn section(&mut self, payload: Payload<'a>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::TypeSection(section) => {
                for function in section.into_iter_err_on_gc_types() {
                    self.parameters.push(function?.params().len() as u32);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    if let TypeRef::Func(kind) = import.ty {
                        self.types.push(kind);
                        self.imports.push(import.name);
                        self.imported += 1;
                    } else {
                        self.obstacle = Some("it imports more than functions");
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for kind in section {
                    self.types.push(kind?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.tables.push(table?.ty);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories.push(memory?);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    self.globals.push(global?.ty);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == wasmparser::ExternalKind::Func {
                        self.roots.push(export.index);
                    }
                }
            }
            Payload::StartSection { func, .. } => self.roots.push(func),
            Payload::ElementSection(section) => {
                for element in section {
                    self.element(element?)?;
                }
            }
            Payload::CodeSectionEntry(body) => self.function(body)?,
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(section) = section.as_known() {
                    for names in section {
                        if let Name::Function(names) = names? {
                            for name in names {
                                let name = name?;
                                self.names.insert(name.index, name.name);
                            }
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn element(&mut self, element: wasmparser::Element<'_>) -> Result<(), BinaryReaderError> {
        let ElementItems::Functions(functions) = element.items else { return Ok(()) };
        let place = match element.kind {
            ElementKind::Active { table_index: None | Some(0), offset_expr } => {
                match offset_expr.get_operators_reader().read()? {
                    Operator::I32Const { value } => Some(value as u32),
                    _ => None,
                }
            }
            _ => None,
        };
        for (function, at) in functions.into_iter().zip(0..) {
            match place {
                Some(place) => drop(self.slots.insert(place + at, function?)),
                None => self.roots.push(function?),
            }
        }
        Ok(())
    }

    fn function(&mut self, body: FunctionBody<'a>) -> Result<(), BinaryReaderError> {
        let mut callees = Vec::new();
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::Call { function_index } => callees.push(function_index),
                Operator::RefFunc { function_index } => self.roots.push(function_index),
                Operator::ReturnCall { .. } => self.obstacle = Some("it has tail calls"),
                Operator::MemoryInit { .. } | Operator::DataDrop { .. } => {
                    self.obstacle = Some("its data is copied when it runs");
                }
                _ => {}
            }
        }
        callees.sort_unstable();
        callees.dedup();
        self.callees.push(callees);
        self.bodies.push(body);
        Ok(())
    }
}
