//! One spelling for equal answers, for majority votes.

use std::cell::Cell;

use super::answer::Answer;
use super::evaluate::{BUDGET, Point, wide};
use super::expr::Expr;
use super::wide::Wide;
use super::word;

/// Where expressions with variables are evaluated.
const AT: [f64; 3] = [0.731, 1.417, 2.093];

pub(super) fn of(answer: &Answer) -> String {
    let budget = Cell::new(BUDGET);
    key(answer, &budget)
}

fn key(answer: &Answer, budget: &Cell<u32>) -> String {
    let keys = |items: &[Answer]| -> Vec<String> { items.iter().map(|item| key(item, budget)).collect() };
    let sorted = |items: &[Answer]| {
        let mut keys = keys(items);
        keys.sort();
        keys.dedup();
        keys.join(", ")
    };
    match answer {
        Answer::Value(quantity) => expression(&quantity.expr, budget),
        Answer::Tuple { open, close, items } => format!("{open}{}{close}", keys(items).join(", ")),
        Answer::Set(items) | Answer::List(items) => format!("{{{}}}", sorted(items)),
        Answer::Union(items) => format!("union {}", sorted(items)),
        Answer::Matrix(rows) => {
            format!("[{}]", rows.iter().map(|row| keys(row).join(", ")).collect::<Vec<_>>().join("; "))
        }
        Answer::Assigned { value, .. } => key(value, budget),
        Answer::Equation(left, right) => {
            format!("{} = {}", expression(left, budget), expression(right, budget))
        }
        Answer::Inequality(sides, signs) => {
            let sides: Vec<String> = sides.iter().map(|side| expression(side, budget)).collect();
            format!("{} {signs:?}", sides.join(" "))
        }
        Answer::Ratio(parts) => {
            parts.iter().map(|part| expression(part, budget)).collect::<Vec<_>>().join(":")
        }
    }
}

/// Its value, at three points where it has variables; a name by itself as prose.
fn expression(expr: &Expr, budget: &Cell<u32>) -> String {
    if let Expr::Name(name) = expr {
        return word::prose(name);
    }
    let mut names = Vec::new();
    expr.variables(&mut names);
    names.sort();
    let points = if names.is_empty() { 1 } else { AT.len() };
    let value = |shift: usize| -> Option<String> {
        let values: Option<Vec<Wide>> =
            (0..names.len()).map(|v| Wide::real(AT[shift] + 0.317 * v as f64)).collect();
        Some(wide(expr, &Point { names: &names, values: &values?, budget })?.key())
    };
    let values: Option<Vec<String>> = (0..points).map(value).collect();
    match values {
        Some(values) if names.is_empty() => values.concat(),
        Some(values) => format!("{} of {}", values.join(" "), names.join(" ")),
        None => format!("{expr:?}"),
    }
}
