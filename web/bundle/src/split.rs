//! Cuts a module in two: what a visitor waits for, and what only some of them use, which is fetched when it is called first.
//!
//! Both parts share memory, globals and tables. A function of the second part that the first one calls, or that a pointer
//! names, has a slot in the table; until the second part is there, a small function lies in it that fetches that part (the
//! import [`Cut::fetch`], which puts the real ones into their slots) and calls again. So nobody can forget to fetch it, and
//! Rust knows nothing of the cut.

use std::collections::{BTreeMap, BTreeSet};
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

/// What goes where.
struct Plan {
    /// The imported function that fetches the second part.
    fetch: u32,
    /// The functions of the second part.
    moved: BTreeSet<u32>,
    /// By one of them: its slot, where the first part or a pointer calls it.
    slots: BTreeMap<u32, u32>,
    /// How many slots the first table gets beyond those it has.
    added: u32,
    /// By function that stays: its index in the first part. Behind them lie those that fetch, in the order of `slots`.
    first: BTreeMap<u32, u32>,
    /// Functions of the first part that the second calls.
    shared: BTreeSet<u32>,
}

impl Plan {
    fn new(contents: &Contents<'_>, cut: &Cut<'_>) -> Result<Plan, SplitError> {
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
    fn by_slot(&self) -> BTreeMap<u32, u32> {
        self.slots.iter().map(|(&function, &slot)| (slot, function)).collect()
    }

    /// Runs of neighbouring slots, with what lies in them.
    fn runs(&self, of: impl Fn(u32) -> u32) -> Vec<(u32, Vec<u32>)> {
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
mod tests {
    use super::*;
    use std::process::Command;
    use std::{env, fs};
    use wasm_encoder::{
        MemorySection, MemoryType, NameMap, NameSection, RefType, TableType, TypeSection, ValType,
    };

    const CUT: Cut<'_> = Cut { paths: &["app::lab::"], fetch: "fetch_rest" };

    /// Functions by their indices: 0 is imported, 1 calls 2, which belongs to the second part and alone calls 3; 4 is called
    /// from both parts; 5 belongs to the second part and is reached through the table alone, by 6.
    const NAMES: [&str; 7] = [
        "fetch_rest",
        "app::main",
        "app::lab::run",
        "app::helper",
        "app::shared",
        "<app::lab::Task as core::Call>::call",
        "app::through_pointer",
    ];

    fn module(named: bool) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        types.ty().function([ValType::I32], [ValType::I32]);
        let mut imports = ImportSection::new();
        imports.import("m", "fetch_rest", EntityType::Function(0));
        let mut functions = FunctionSection::new();
        for _ in &NAMES[1..] {
            functions.function(1);
        }
        let mut tables = TableSection::new();
        let (element_type, table64, shared) = (RefType::FUNCREF, false, false);
        tables.table(TableType { element_type, table64, minimum: 3, maximum: Some(3), shared });
        let mut memories = MemorySection::new();
        let (memory64, page_size_log2) = (false, None);
        memories.memory(MemoryType { minimum: 1, maximum: None, memory64, shared, page_size_log2 });
        let mut exports = ExportSection::new();
        exports.export("main", ExportKind::Func, 1).export("pointer", ExportKind::Func, 6);
        let mut elements = ElementSection::new();
        elements.active(None, &ConstExpr::i32_const(1), Elements::Functions((&[4, 5][..]).into()));
        let mut code = CodeSection::new();
        let mut define = |write: &dyn Fn(&mut wasm_encoder::InstructionSink<'_>)| {
            let mut function = Function::new([]);
            write(&mut function.instructions());
            function.instructions().end();
            code.function(&function);
        };
        let at = |offset| wasm_encoder::MemArg { offset, align: 2, memory_index: 0 };
        // main(x) = run(x) + memory[0], with shared(x) beside it.
        define(&|f| {
            f.local_get(0).call(4).drop().local_get(0).call(2);
            f.i32_const(0).i32_load(at(0)).i32_add();
        });
        // run(x): memory[0] = 1000; helper(shared(x)).
        define(&|f| {
            f.i32_const(0).i32_const(1000).i32_store(at(0)).local_get(0).call(4).call(3);
        });
        define(&|f| {
            f.local_get(0).i32_const(7).i32_add();
        });
        define(&|f| {
            f.local_get(0).i32_const(3).i32_mul();
        });
        define(&|f| {
            f.local_get(0).call(3).i32_const(100).i32_sub();
        });
        define(&|f| {
            f.local_get(0).i32_const(2).call_indirect(0, 1);
        });
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions).section(&tables).section(&memories);
        module.section(&exports).section(&elements).section(&code);
        if named {
            let (mut names, mut all) = (NameMap::new(), NameSection::new());
            NAMES.iter().zip(0..).for_each(|(name, index)| names.append(index, name));
            all.functions(&names);
            module.section(&all);
        }
        module.finish()
    }

    fn names_of(wasm: &[u8], functions: &BTreeSet<u32>) -> Vec<&'static str> {
        assert!(Contents::read(wasm).is_ok());
        functions.iter().map(|&function| NAMES[function as usize]).collect()
    }

    #[test]
    fn what_is_reached_only_through_the_paths_is_moved() {
        let wasm = module(true);
        let contents = Contents::read(&wasm).unwrap();
        let plan = Plan::new(&contents, &CUT).unwrap();
        assert_eq!(names_of(&wasm, &plan.moved), [NAMES[2], NAMES[3], NAMES[5]]);
        assert_eq!(names_of(&wasm, &plan.shared), [NAMES[4]]);
        assert_eq!(
            plan.slots,
            BTreeMap::from([(2, 3), (5, 2)]),
            "5 keeps its slot, 2 gets one behind the table"
        );
    }

    #[test]
    fn what_cannot_be_cut_says_why() {
        let said = |wasm: &[u8], cut: &Cut<'_>| split(wasm, cut).map(drop).unwrap_err().to_string();
        assert_eq!(said(&module(false), &CUT), "cannot be cut: its functions have no names");
        let other = Cut { fetch: "another", ..CUT };
        assert_eq!(said(&module(true), &other), "cannot be cut: it does not import `another`");
    }

    /// The parts in a real engine, that of Node: called directly, and through a pointer, before anything was fetched.
    #[test]
    fn both_parts_together_do_what_the_whole_did() {
        let Parts { first, second } = split(&module(true), &CUT).unwrap();
        let folder = env::temp_dir().join(format!("tbrm-split-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in [("whole", &module(true)), ("first", &first), ("second", &second)] {
            fs::write(folder.join(name), bytes).unwrap();
        }
        const SCRIPT: &str = r#"
            const read = (name) => new WebAssembly.Module(require("fs").readFileSync(name));
            const made = (fetch_rest) => new WebAssembly.Instance(read("first"), { m: { fetch_rest } });
            const whole = new WebAssembly.Instance(read("whole"), { m: { fetch_rest() {} } }).exports;
            const results = [whole.main(5), whole.pointer(5)];
            for (const entry of ["main", "pointer"]) {
                let fetched = 0;
                const { exports } = made(() => {
                    fetched += 1;
                    new WebAssembly.Instance(read("second"), { f: exports });
                });
                results.push(exports[entry](5), exports[entry](5), fetched);
            }
            console.log(results.join(" "));
        "#;
        let output = Command::new("node").args(["-e", SCRIPT]).current_dir(&folder).output().unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            said.trim(),
            "1022 -88 1022 1022 1 -88 -88 1",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
