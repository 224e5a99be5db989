//! Puts functions that look alike beside each other. What compresses the wasm looks back over 32 KiB of it, and generic
//! code is compiled to many functions that are nearly the same; no compiler or optimiser brings them together.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionBody, FunctionSectionReader, Parser, Payload, TypeRef};

/// What gzip looks back over, in bytes.
const WINDOW: usize = 32 << 10;
/// Bytes that are compared at a time: about two instructions.
const PIECE: usize = 6;
/// A piece that more functions have says little about which of them are alike, and would be slow to follow.
const COMMON: usize = 200;

/// The same module with its functions in another order.
pub(crate) fn reorder(wasm: &[u8]) -> Result<Vec<u8>, Error<Infallible>> {
    let (mut imported, mut bodies) = (0, Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.as_bytes()),
            _ => {}
        }
    }
    let order = alike(&bodies);
    let mut place = vec![0; order.len()];
    order.iter().zip(0..).for_each(|(&function, at)| place[function] = at);
    let mut module = Module::new();
    Reordered { imported, order, place }.parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok(module.finish())
}

/// An order in which each of `bodies` follows those that have most of it already: the largest first, then always the one
/// of which the most pieces lie within the window, for its size.
fn alike(bodies: &[&[u8]]) -> Vec<usize> {
    let mut pieces = Pieces::of(bodies);
    // Less than its size: else the smallest functions, which are mostly matches, would all come first.
    let weights: Vec<f64> = bodies.iter().map(|body| (body.len() as f64).powf(0.6)).collect();
    let mut left: Vec<usize> = (0..bodies.len()).collect();
    let mut order = Vec::with_capacity(bodies.len());
    let (mut window, mut size) = (VecDeque::new(), 0);
    // The last of the largest; of what is equally good the first, so that the same wasm gives the same order.
    let mut next = left.iter().copied().max_by_key(|&body| bodies[body].len());
    while let Some(body) = next {
        left.retain(|&other| other != body);
        order.push(body);
        window.push_back(body);
        size += bodies[body].len();
        pieces.enter(body);
        while size > WINDOW
            && window.len() > 1
            && let Some(oldest) = window.pop_front()
        {
            size -= bodies[oldest].len();
            pieces.leave(oldest);
        }
        let worth = |&body: &usize| pieces.within[body] as f64 / weights[body];
        next =
            left.iter().copied().reduce(|best, body| if worth(&body) > worth(&best) { body } else { best });
    }
    order
}

/// Which functions have which pieces, and what of them lies within the window.
struct Pieces {
    /// By piece: the functions.
    functions: Vec<Vec<usize>>,
    /// By function: its pieces, each once.
    of: Vec<Vec<usize>>,
    /// By piece: how often it is in the window.
    present: Vec<usize>,
    /// By function: how many of its pieces are in the window.
    within: Vec<usize>,
}

impl Pieces {
    fn of(bodies: &[&[u8]]) -> Pieces {
        let (mut numbers, mut functions) = (HashMap::new(), Vec::<Vec<usize>>::new());
        let mut of: Vec<Vec<usize>> = vec![Vec::new(); bodies.len()];
        for (function, body) in bodies.iter().enumerate() {
            for piece in body.windows(PIECE) {
                let number = *numbers.entry(piece).or_insert(functions.len());
                if number == functions.len() {
                    functions.push(Vec::new());
                }
                if functions[number].last() != Some(&function) {
                    functions[number].push(function);
                    of[function].push(number);
                }
            }
        }
        of.iter_mut().for_each(|all| all.retain(|&piece| (2..=COMMON).contains(&functions[piece].len())));
        let (present, within) = (vec![0; functions.len()], vec![0; bodies.len()]);
        Pieces { functions, of, present, within }
    }

    fn enter(&mut self, function: usize) {
        for &piece in &self.of[function] {
            self.present[piece] += 1;
            if self.present[piece] == 1 {
                self.functions[piece].iter().for_each(|&other| self.within[other] += 1);
            }
        }
    }

    fn leave(&mut self, function: usize) {
        for &piece in &self.of[function] {
            self.present[piece] -= 1;
            if self.present[piece] == 0 {
                self.functions[piece].iter().for_each(|&other| self.within[other] -= 1);
            }
        }
    }
}

/// Writes a module's own functions in another order. Their indices follow those of imported ones, which stay.
struct Reordered {
    imported: u32,
    /// By new place: the old one.
    order: Vec<usize>,
    /// By old place: the new one.
    place: Vec<u32>,
}

impl Reencode for Reordered {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        let own = function.checked_sub(self.imported);
        Ok(own.map_or(function, |own| self.imported + self.place[own as usize]))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        let types = section.into_iter().collect::<Result<Vec<u32>, _>>()?;
        for old in 0..types.len() {
            functions.function(types[self.order[old]]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        let bodies = section.into_iter().collect::<Result<Vec<FunctionBody<'_>>, _>>()?;
        for new in 0..bodies.len() {
            self.parse_function_body(code, bodies[self.order[new]].clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        ConstExpr, ElementSection, Elements, EntityType, ExportKind, ExportSection, Function, ImportSection,
        RefType, TableSection, TableType, TypeSection,
    };
    use wasmparser::{ElementItems, Operator};

    /// What the functions of the module below return, by their old places. Each pair is alike.
    const RETURNS: [i32; 4] = [1_000_001, 2_000_002, 1_000_003, 2_000_004];

    /// An import, then functions that are exported by what they return, the last of which calls the first; all of them in
    /// a table.
    fn module() -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], [wasm_encoder::ValType::I32]);
        let mut imports = ImportSection::new();
        imports.import("m", "f", EntityType::Function(0));
        let (mut functions, mut code, mut exports) =
            (FunctionSection::new(), CodeSection::new(), ExportSection::new());
        for (place, value) in RETURNS.into_iter().enumerate() {
            functions.function(0);
            let mut function = Function::new([]);
            for _ in 0..9 {
                if value < 2_000_000 {
                    function.instructions().i32_const(777_777).i32_const(888_888).i32_add().drop();
                } else {
                    function.instructions().i64_const(555_555).i64_const(666_666).i64_mul().drop();
                }
            }
            if place == 3 {
                function.instructions().call(1).drop();
            }
            function.instructions().i32_const(value).end();
            code.function(&function);
            exports.export(&value.to_string(), ExportKind::Func, 1 + place as u32);
        }
        let mut tables = TableSection::new();
        let (element_type, table64, shared) = (RefType::FUNCREF, false, false);
        tables.table(TableType { element_type, table64, minimum: 5, maximum: None, shared });
        let mut elements = ElementSection::new();
        elements.active(None, &ConstExpr::i32_const(0), Elements::Functions((&[0, 1, 2, 3, 4][..]).into()));
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions).section(&tables);
        module.section(&exports).section(&elements).section(&code);
        module.finish()
    }

    /// What is in a module.
    #[derive(Default)]
    struct Contents {
        /// What each function returns, in the order of their places.
        returned: Vec<i32>,
        called: Vec<u32>,
        exported: Vec<(String, u32)>,
        table: Vec<u32>,
    }

    fn read(wasm: &[u8]) -> Contents {
        let mut contents = Contents::default();
        let Contents { returned, called, exported, table } = &mut contents;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.unwrap() {
                Payload::CodeSectionEntry(body) => {
                    let mut last = 0;
                    for operator in body.get_operators_reader().unwrap() {
                        match operator.unwrap() {
                            Operator::I32Const { value } => last = value,
                            Operator::Call { function_index } => called.push(function_index),
                            _ => {}
                        }
                    }
                    returned.push(last);
                }
                Payload::ExportSection(section) => exported.extend(section.into_iter().map(|export| {
                    let export = export.unwrap();
                    (export.name.to_owned(), export.index)
                })),
                Payload::ElementSection(section) => {
                    for element in section {
                        let ElementItems::Functions(items) = element.unwrap().items else {
                            panic!("functions")
                        };
                        table.extend(items.into_iter().map(Result::unwrap));
                    }
                }
                _ => {}
            }
        }
        contents
    }

    #[test]
    fn functions_that_are_alike_lie_together_and_who_names_them_still_means_them() {
        let wasm = reorder(&module()).unwrap();
        let Contents { returned, called, exported, table } = read(&wasm);
        let kinds: Vec<i32> = returned.iter().map(|value| value / 1_000_000).collect();
        assert!(kinds == [1, 1, 2, 2] || kinds == [2, 2, 1, 1], "{returned:?}");
        let at = |function: u32| returned[function as usize - 1];
        assert_eq!(called.iter().map(|&function| at(function)).collect::<Vec<_>>(), [RETURNS[0]]);
        assert_eq!(exported.len(), RETURNS.len());
        assert!(exported.iter().all(|(name, function)| *name == at(*function).to_string()), "{exported:?}");
        assert_eq!(table[0], 0, "what is imported stays");
        assert!(table[1..].iter().map(|&function| at(function)).eq(RETURNS), "{table:?}");
    }

    #[test]
    fn the_same_wasm_gives_the_same_order() {
        assert_eq!(reorder(&module()).unwrap(), reorder(&module()).unwrap());
        assert_eq!(alike(&[]), [0; 0]);
    }
}
