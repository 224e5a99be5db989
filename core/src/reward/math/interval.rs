//! Inequalities as intervals.

use super::answer::{Answer, Quantity};
use super::expr::Expr;

/// The interval that a solved inequality describes: a variable alone between or beside constants.
pub(super) fn interval(answer: &Answer) -> Option<Answer> {
    let Answer::Inequality(sides, signs) = answer else { return None };
    let value = |expr: &Expr| Answer::Value(Quantity::new(expr.clone()));
    let negative = Answer::Value(Quantity::new(Expr::Negative(Box::new(Expr::Infinity))));
    let infinity = Answer::Value(Quantity::new(Expr::Infinity));
    let tuple = |open, low, high, close| Some(Answer::Tuple { open, close, items: vec![low, high] });
    match (sides.as_slice(), signs.as_slice()) {
        ([Expr::Name(_), bound], [sign]) | ([bound, Expr::Name(_)], [sign]) if bound.is_constant() => {
            let variable_first = matches!(sides[0], Expr::Name(_));
            match (sign, variable_first) {
                ('<', true) | ('>', false) => tuple('(', negative, value(bound), ')'),
                ('≤', true) | ('≥', false) => tuple('(', negative, value(bound), ']'),
                ('>', true) | ('<', false) => tuple('(', value(bound), infinity, ')'),
                ('≥', true) | ('≤', false) => tuple('[', value(bound), infinity, ')'),
                _ => None,
            }
        }
        ([low, Expr::Name(_), high], [left, right]) if low.is_constant() && high.is_constant() => {
            match (left, right) {
                ('<' | '≤', '<' | '≤') => {
                    let open = if *left == '<' { '(' } else { '[' };
                    tuple(open, value(low), value(high), if *right == '<' { ')' } else { ']' })
                }
                ('>' | '≥', '>' | '≥') => {
                    let open = if *right == '>' { '(' } else { '[' };
                    tuple(open, value(high), value(low), if *left == '>' { ')' } else { ']' })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The intervals that solved inequalities side by side describe.
pub(super) fn intervals(items: &[Answer]) -> Option<Vec<Answer>> {
    items.iter().map(interval).collect()
}
