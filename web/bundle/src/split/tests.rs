//! A small module, cut, and run whole and in parts.

use super::*;
use std::collections::BTreeMap;
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
    assert_eq!(plan.slots, BTreeMap::from([(2, 3), (5, 2)]), "5 keeps its slot, 2 gets one behind the table");
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
    assert_eq!(said.trim(), "1022 -88 1022 1022 1 -88 -88 1", "{}", String::from_utf8_lossy(&output.stderr));
}
