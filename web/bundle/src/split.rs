//! Cuts a module in two: what a visitor waits for, and what only some of them use, which is fetched when it is called first.
//!
//! Both parts share memory, globals and tables. A function of the second part that the first one calls, or that a pointer
//! names, has a slot in the table; until the second part is there, a small function lies in it that fetches that part (the
//! import [`Cut::fetch`], which puts the real ones into their slots) and calls again. So nobody can forget to fetch it, and
//! Rust knows nothing of the cut.

mod plan;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Elements, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, ImportSection, Module, TableSection,
};
use wasmparser::{
    BinaryReaderError, CodeSectionReader, CustomSectionReader, ElementSectionReader, ExportSectionReader,
    FunctionBody, FunctionSectionReader, Operator, Parser, Table,
};

use crate::contents::Contents;
use plan::Plan;

/// The module that the second part imports from: the first one's exports.
const FIRST: &str = "f";

/// Where to cut.
pub(crate) struct Cut<'a> {
    /// Paths of Rust modules, `a::b::`: what is only reached through functions of theirs belongs to the second part.
    pub(crate) paths: &'a [&'a str],
    /// In the name of the imported function that fetches the second part.
    pub(crate) fetch: &'a str,
}

/// The two parts.
pub(crate) struct Parts {
    pub(crate) first: Vec<u8>,
    pub(crate) second: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum SplitError {
    Unreadable(BinaryReaderError),
    Unwritable(reencode::Error<Infallible>),
    Unfit(String),
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SplitError::Unreadable(error) => write!(f, "cannot be read: {error}"),
            SplitError::Unwritable(error) => write!(f, "cannot be written: {error}"),
            SplitError::Unfit(why) => write!(f, "cannot be cut: {why}"),
        }
    }
}

impl From<BinaryReaderError> for SplitError {
    fn from(error: BinaryReaderError) -> SplitError {
        SplitError::Unreadable(error)
    }
}

impl From<reencode::Error<Infallible>> for SplitError {
    fn from(error: reencode::Error<Infallible>) -> SplitError {
        SplitError::Unwritable(error)
    }
}

/// Cuts `wasm`, which must have its functions' names; the parts have none.
pub(crate) fn split(wasm: &[u8], cut: &Cut<'_>) -> Result<Parts, SplitError> {
    let contents = Contents::read(wasm)?;
    let plan = Plan::new(&contents, cut)?;
    let mut first = Module::new();
    First { plan: &plan, contents: &contents }.parse_core_module(&mut first, Parser::new(0), wasm)?;
    let second = Second { plan: &plan, contents: &contents }.write(wasm)?;
    Ok(Parts { first: first.finish(), second })
}

/// What the first part exports for the second. What the user of the module sees has other names: theirs are longer.
fn shared_name(kind: char, index: u32) -> String {
    format!("{kind}{index}")
}

/// Writes the first part.
struct First<'a> {
    plan: &'a Plan,
    contents: &'a Contents<'a>,
}

impl First<'_> {
    /// Where a function is in this part; of one of the second part, where the one is that fetches it.
    fn index(&self, function: u32) -> u32 {
        self.plan.first.get(&function).copied().unwrap_or_else(|| {
            let before = self.plan.slots.range(..function).count();
            (self.plan.first.len() + before) as u32
        })
    }

    /// A function that fetches the second part and calls what lies in `slot` by then.
    fn fetching(&self, kind: u32, slot: u32) -> Function {
        let mut function = Function::new([]);
        function.instructions().call(self.plan.first[&self.plan.fetch]);
        for parameter in 0..self.contents.parameters[kind as usize] {
            function.instructions().local_get(parameter);
        }
        function.instructions().i32_const(slot as i32).call_indirect(0, kind).end();
        function
    }
}

impl Reencode for First<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error<Infallible>> {
        Ok(self.index(function))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        _: FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        let own = self.contents.own().filter(|function| !self.plan.moved.contains(function));
        for function in own.chain(self.plan.slots.keys().copied()) {
            functions.function(self.contents.types[function as usize]);
        }
        Ok(())
    }

    fn parse_table(
        &mut self,
        tables: &mut TableSection,
        mut table: Table<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        if tables.is_empty() {
            table.ty.initial += u64::from(self.plan.added);
            table.ty.maximum = table.ty.maximum.map(|most| most + u64::from(self.plan.added));
        }
        reencode::utils::parse_table(self, tables, table)
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        reencode::utils::parse_export_section(self, exports, section)?;
        let counts = [
            (ExportKind::Memory, 'm', self.contents.memories.len()),
            (ExportKind::Table, 't', self.contents.tables.len()),
            (ExportKind::Global, 'g', self.contents.globals.len()),
        ];
        for (kind, letter, count) in counts {
            for index in 0..count as u32 {
                exports.export(&shared_name(letter, index), kind, index);
            }
        }
        for &function in &self.plan.shared {
            let index = self.plan.first[&function];
            exports.export(&shared_name('f', function), ExportKind::Func, index);
        }
        Ok(())
    }

    fn parse_element_section(
        &mut self,
        elements: &mut ElementSection,
        section: ElementSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        for element in section {
            self.parse_element(elements, element?)?;
        }
        let size = self.contents.tables[0].initial as u32;
        let added = self.plan.by_slot();
        let added: Vec<u32> = added.range(size..).map(|(_, &function)| self.index(function)).collect();
        elements.active(None, &ConstExpr::i32_const(size as i32), Elements::Functions(added.into()));
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        for (body, function) in section.into_iter().zip(self.contents.own()) {
            if !self.plan.moved.contains(&function) {
                self.parse_function_body(code, body?)?;
            }
        }
        for (&function, &slot) in &self.plan.slots {
            code.function(&self.fetching(self.contents.types[function as usize], slot));
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            match operator {
                Operator::Call { function_index } if self.plan.moved.contains(&function_index) => {
                    let kind = self.contents.types[function_index as usize];
                    let slot = self.plan.slots[&function_index];
                    function.instructions().i32_const(slot as i32).call_indirect(0, kind);
                }
                other => drop(function.instruction(&self.instruction(other)?)),
            }
        }
        code.function(&function);
        Ok(())
    }

    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: CustomSectionReader<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        Ok(())
    }
}

/// Writes the second part.
struct Second<'a> {
    plan: &'a Plan,
    contents: &'a Contents<'a>,
}

impl Second<'_> {
    fn write(&mut self, wasm: &[u8]) -> Result<Vec<u8>, SplitError> {
        let mut module = Module::new();
        for payload in Parser::new(0).parse_all(wasm) {
            if let wasmparser::Payload::TypeSection(section) = payload? {
                let mut types = wasm_encoder::TypeSection::new();
                self.parse_type_section(&mut types, section)?;
                module.section(&types);
            }
        }
        module.section(&self.imports()?);
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        for &function in &self.plan.moved {
            functions.function(self.contents.types[function as usize]);
            self.parse_function_body(&mut code, self.contents.body(function).clone())?;
        }
        let mut elements = ElementSection::new();
        for (begin, run) in self.plan.runs(|function| self.index(function)) {
            elements.active(None, &ConstExpr::i32_const(begin as i32), Elements::Functions(run.into()));
        }
        module.section(&functions).section(&elements).section(&code);
        Ok(module.finish())
    }

    fn imports(&mut self) -> Result<ImportSection, SplitError> {
        let mut imports = ImportSection::new();
        let contents = self.contents;
        for (&memory, index) in contents.memories.iter().zip(0..) {
            let memory = EntityType::Memory(self.memory_type(memory)?);
            imports.import(FIRST, &shared_name('m', index), memory);
        }
        for (&table, index) in contents.tables.iter().zip(0..) {
            let mut table = self.table_type(table)?;
            if index == 0 {
                table.minimum += u64::from(self.plan.added);
                table.maximum = table.maximum.map(|most| most + u64::from(self.plan.added));
            }
            imports.import(FIRST, &shared_name('t', index), EntityType::Table(table));
        }
        for (&global, index) in contents.globals.iter().zip(0..) {
            let global = EntityType::Global(self.global_type(global)?);
            imports.import(FIRST, &shared_name('g', index), global);
        }
        for &function in &self.plan.shared {
            let kind = EntityType::Function(contents.types[function as usize]);
            imports.import(FIRST, &shared_name('f', function), kind);
        }
        Ok(imports)
    }

    /// Functions that it shares come first, then its own.
    fn index(&self, function: u32) -> u32 {
        let place = |all: &BTreeSet<u32>| all.range(..function).count() as u32;
        if self.plan.moved.contains(&function) {
            self.plan.shared.len() as u32 + place(&self.plan.moved)
        } else {
            place(&self.plan.shared)
        }
    }
}

impl Reencode for Second<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error<Infallible>> {
        Ok(self.index(function))
    }
}

#[cfg(test)]
mod tests;
