//! Whether an answer says what the gold answer says.

use std::cell::Cell;

use super::answer::{Answer, Quantity};
use super::evaluate::{BUDGET, FIELDS, Point, residue, wide};
use super::expr::{self, Expr};
use super::interval::{interval, intervals};
use super::wide::Wide;
use crate::rng::Stream;

/// Two evaluations of one number.
const SAME: f64 = 1e-9;

/// How far a rounded decimal may be from the value, relative to it; also the tolerance of the Qwen2.5-Math grader.
const ROUNDED: f64 = 1e-4;

/// The most variables in a comparison.
const MOST_VARIABLES: usize = 16;

/// Where expressions with variables are compared: positive numbers, numbers of both signs, whole numbers.
const POINTS: u64 = 30;

/// At so many points both sides must have a value.
const ENOUGH_POINTS: usize = 4;

/// One comparison, which may cost no more than its budget.
pub(super) struct Comparison {
    budget: Cell<u32>,
    /// Numbers may be so far from gold, where the record says so.
    tolerance: Option<f64>,
}

/// How the items of two lists belong together.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Given,
    Any,
}

impl Comparison {
    pub(super) fn new(tolerance: Option<f64>) -> Comparison {
        Comparison { budget: Cell::new(BUDGET), tolerance }
    }

    pub(super) fn same(&self, gold: &Answer, answer: &Answer) -> bool {
        use Answer::{Assigned, Equation, Inequality, List, Matrix, Ratio, Set, Tuple, Union, Value};
        match (gold, answer) {
            (Assigned { .. }, Assigned { .. }) => self.assignments(gold, answer),
            (Assigned { .. } | Equation(..), Equation(..)) | (Equation(..), Assigned { .. }) => {
                self.equations(gold, answer)
            }
            (Assigned { value, .. }, _) => self.same(value, answer),
            (_, Assigned { value, .. }) => self.same(gold, value),
            (Value(gold), Equation(left, right)) => {
                // `2 + 3 = 5` is a calculation with its result; `2x = 10` is none.
                left.is_constant() && self.values(gold, &Quantity::new(right.clone()))
            }
            (Inequality(sides, signs), Inequality(other, others)) => {
                self.inequalities(sides, signs, other, others)
                    || matches!((interval(gold), interval(answer)), (Some(a), Some(b)) if self.same(&a, &b))
            }
            (Inequality(..), _) => interval(gold).is_some_and(|gold| self.same(&gold, answer)),
            (_, Inequality(..)) => interval(answer).is_some_and(|answer| self.same(gold, &answer)),
            (Tuple { open, close, items }, Tuple { open: first, close: last, items: others }) => {
                // Two numbers may be an interval, where the brackets say what belongs to it.
                let brackets = items.len() != 2 || (open, close) == (first, last);
                brackets && self.lists(items, others, Order::Given)
            }
            (Tuple { items, .. }, List(others)) => self.lists(items, others, Order::Given),
            (List(items), Tuple { open: '(', close: ')', items: others }) => {
                self.lists(items, others, Order::Given)
            }
            (List(items), List(others)) => match (intervals(items), intervals(others)) {
                (Some(a), Some(b)) => self.lists(&a, &b, Order::Any),
                _ => self.lists(items, others, named_in_order(items, others)),
            },
            (Set(items), Set(others) | List(others)) | (List(items), Set(others)) => {
                self.lists(&self.distinct(items), &self.distinct(others), Order::Any)
            }
            (Set(items) | List(items), Value(_)) | (Value(_), Set(items)) if items.len() == 1 => match gold {
                Value(_) => self.same(gold, &items[0]),
                _ => self.same(&items[0], answer),
            },
            (Union(items), Union(others)) => self.lists(items, others, Order::Any),
            (Union(items), List(others)) => {
                intervals(others).is_some_and(|o| self.lists(items, &o, Order::Any))
            }
            (List(items), Union(others)) => {
                intervals(items).is_some_and(|i| self.lists(&i, others, Order::Any))
            }
            (Matrix(rows), Matrix(others)) => {
                rows.len() == others.len()
                    && rows.iter().zip(others).all(|(row, other)| self.lists(row, other, Order::Given))
            }
            (Tuple { items, .. }, Matrix(rows)) => {
                vector(rows).is_some_and(|others| self.lists(items, &others, Order::Given))
            }
            (Matrix(rows), Tuple { items, .. }) => {
                vector(rows).is_some_and(|golds| self.lists(&golds, items, Order::Given))
            }
            (Ratio(parts), Ratio(others)) => {
                parts.len() == others.len() && parts.iter().zip(others).all(|(a, b)| self.exprs(a, b))
            }
            (Ratio(parts), Value(answer)) => {
                quotient(parts).is_some_and(|gold| self.exprs(&gold, &answer.expr))
            }
            (Value(gold), Ratio(parts)) => {
                quotient(parts).is_some_and(|answer| self.exprs(&gold.expr, &answer))
            }
            (Value(gold), Value(answer)) => self.values(gold, answer),
            _ => false,
        }
    }

    fn lists(&self, golds: &[Answer], answers: &[Answer], order: Order) -> bool {
        if golds.len() != answers.len() {
            return false;
        }
        if order == Order::Given {
            return golds.iter().zip(answers).all(|(gold, answer)| self.same(gold, answer));
        }
        let mut free: Vec<&Answer> = answers.iter().collect();
        golds.iter().all(|gold| match free.iter().position(|answer| self.same(gold, answer)) {
            Some(at) => {
                free.swap_remove(at);
                true
            }
            None => false,
        })
    }

    /// A set's elements, each once.
    fn distinct(&self, items: &[Answer]) -> Vec<Answer> {
        let mut out: Vec<Answer> = Vec::new();
        for item in items {
            if !out.iter().any(|other| self.same(other, item)) {
                out.push(item.clone());
            }
        }
        out
    }

    fn assignments(&self, gold: &Answer, answer: &Answer) -> bool {
        let Answer::Assigned { name, parameter, value } = gold else { return false };
        let Answer::Assigned { name: other, parameter: others, value: said } = answer else { return false };
        let letters = |name: &str| name.split(['_', '\'']).next().unwrap_or("").to_lowercase();
        if letters(name) != letters(other) {
            return false;
        }
        match (parameter, others, &**said) {
            // f(x) = 2x and f(t) = 2t are one function.
            (Some(to), Some(from), Answer::Value(quantity)) if to != from => {
                self.same(value, &Answer::Value(Quantity::new(quantity.expr.renamed(from, to))))
            }
            _ => self.same(value, said),
        }
    }

    /// Whether one equation is a multiple of the other. What is solved for a number must be answered solved.
    fn equations(&self, gold: &Answer, answer: &Answer) -> bool {
        let difference = |answer: &Answer| match answer {
            Answer::Equation(left, right) => Some(minus(left, right)),
            Answer::Assigned { name, parameter, value } => match &**value {
                Answer::Value(quantity) if parameter.is_none() && !quantity.expr.is_constant() => {
                    Some(minus(&Expr::Name(name.clone()), &quantity.expr))
                }
                _ => None,
            },
            _ => None,
        };
        match (difference(gold), difference(answer)) {
            (Some(gold), Some(answer)) => self.ratio(&gold, &answer).is_some(),
            _ => false,
        }
    }

    fn inequalities(&self, gold: &[Expr], signs: &[char], answer: &[Expr], others: &[char]) -> bool {
        let turned = |sign: &char| match sign {
            '<' => '>',
            '>' => '<',
            '≤' => '≥',
            '≥' => '≤',
            other => *other,
        };
        if gold.len() != answer.len() {
            return false;
        }
        if let ([g], [a]) = (signs, others) {
            let (gold, answer) = (minus(&gold[0], &gold[1]), minus(&answer[0], &answer[1]));
            let Some(ratio) = self.ratio(&gold, &answer) else { return false };
            return if ratio > 0.0 || *g == '≠' { g == a } else { turned(g) == *a };
        }
        let all = |answer: Vec<&Expr>| gold.iter().zip(answer).all(|(g, a)| self.exprs(g, a));
        let back: Vec<char> = others.iter().rev().map(turned).collect();
        (signs == others && all(answer.iter().collect()))
            || (signs == back && all(answer.iter().rev().collect()))
    }

    /// The constant real c other than 0 with gold = c answer, where there is one.
    fn ratio(&self, gold: &Expr, answer: &Expr) -> Option<f64> {
        let names = names_of(gold, answer)?;
        let mut ratio: Option<Wide> = None;
        let mut valid = 0;
        for k in 0..POINTS {
            let (Some(g), Some(a)) = self.both(gold, answer, &names, k) else { continue };
            let here = match a.inverse() {
                Some(inverse) if !g.is_zero() => g.times(inverse)?,
                _ => continue,
            };
            if !ratio.get_or_insert(here).is_close(here, 1e-8) {
                return None;
            }
            valid += 1;
        }
        let ratio = ratio.filter(|_| valid >= ENOUGH_POINTS)?.as_real()?;
        (ratio != 0.0).then_some(ratio)
    }

    fn values(&self, gold: &Quantity, answer: &Quantity) -> bool {
        if let (Some(unit), Some(other)) = (&gold.unit, &answer.unit) {
            if unit.dimension != other.dimension {
                return false;
            }
            if unit.factor != other.factor {
                let empty = Point { names: &[], values: &[], budget: &self.budget };
                let scaled = |expr, factor| wide(expr, &empty)?.times(Wide::real(factor)?);
                return match (scaled(&gold.expr, unit.factor), scaled(&answer.expr, other.factor)) {
                    (Some(a), Some(b)) => a.is_close(b, SAME),
                    _ => false,
                };
            }
        }
        // A percent sign may be left out, or the fraction given: 10%, 10 and 0.1 answer 10%; 10 and 10% answer 10.
        match (percent(&gold.expr), percent(&answer.expr)) {
            (Some(gold), Some(answer)) => self.exprs(&gold, &answer),
            (Some(bare), None) => self.exprs(&bare, &answer.expr) || self.exprs(&gold.expr, &answer.expr),
            (None, Some(bare)) => self.exprs(&gold.expr, &bare) || self.exprs(&gold.expr, &answer.expr),
            (None, None) => self.exprs(&gold.expr, &answer.expr),
        }
    }

    fn exprs(&self, gold: &Expr, answer: &Expr) -> bool {
        if gold == answer {
            return true;
        }
        if let (Some(gold), Some(answer)) = (infinite(gold), infinite(answer)) {
            return gold == answer;
        }
        // `204_5` may be answered by its digits.
        if let (Expr::Name(name), Expr::Number(number)) = (gold, answer)
            && name.split_once('_').is_some_and(|(digits, _)| digits == number.digits)
        {
            return true;
        }
        let Some(names) = names_of(gold, answer) else { return false };
        if names.is_empty() {
            return self.numbers(gold, answer);
        }
        if gold.is_constant()
            && let Some(bare) = without_unit_letter(answer)
        {
            return self.exprs(gold, &bare);
        }
        let mut valid = 0;
        for k in 0..POINTS {
            if let (Some(gold), Some(answer)) = self.both(gold, answer, &names, k) {
                valid += 1;
                if !gold.is_close(answer, 1e-8) {
                    return false;
                }
            }
        }
        valid >= ENOUGH_POINTS && self.residues_agree(gold, answer, &names) != Some(false)
    }

    /// Both values at point `k`.
    fn both(&self, gold: &Expr, answer: &Expr, names: &[String], k: u64) -> (Option<Wide>, Option<Wide>) {
        let values: Option<Vec<Wide>> =
            (0..names.len() as u64).map(|v| Wide::real(coordinate(k, v))).collect();
        let Some(values) = values else { return (None, None) };
        let point = Point { names, values: &values, budget: &self.budget };
        (wide(gold, &point), wide(answer, &point))
    }

    /// Whether two expressions agree exactly, where that can be told.
    fn residues_agree(&self, gold: &Expr, answer: &Expr, names: &[String]) -> Option<bool> {
        let mut agree = true;
        for field in FIELDS {
            let values: Vec<u64> =
                (0..names.len() as u64).map(|v| Stream::new(POINTS, v).below(0, field.prime)).collect();
            let point = Point { names, values: &values, budget: &self.budget };
            agree &= residue(gold, field, &point)? == residue(answer, field, &point)?;
        }
        Some(agree)
    }

    fn numbers(&self, gold: &Expr, answer: &Expr) -> bool {
        let (Some(g), Some(a)) = self.both(gold, answer, &[], 0) else { return false };
        if self
            .tolerance
            .is_some_and(|tolerance| g.distance(a).is_some_and(|d| d <= tolerance * (1.0 + SAME)))
        {
            return true;
        }
        let steps = [step(gold), step(answer)];
        let Some(step) = steps.into_iter().flatten().reduce(f64::max) else {
            return g.is_close(a, SAME) && self.residues_agree(gold, answer, &[]) != Some(false);
        };
        if g.is_close(a, SAME) {
            // Two decimals that differ in a digit differ, however long they are.
            let long =
                steps.iter().all(Option::is_some) && self.residues_agree(gold, answer, &[]) == Some(false);
            return !long || (g.as_integer().is_none() && g.distance(a).is_some_and(|d| d < step));
        }
        let whole = g.as_integer().is_some();
        let rounded = |d: f64| d < step * (1.0 - SAME);
        !whole && g.is_close(a, ROUNDED) && g.distance(a).is_some_and(rounded)
    }
}

fn minus(left: &Expr, right: &Expr) -> Expr {
    Expr::Sum(vec![left.clone(), Expr::Negative(Box::new(right.clone()))])
}

/// The variables of both, where they are not too many.
fn names_of(gold: &Expr, answer: &Expr) -> Option<Vec<String>> {
    let mut names = Vec::new();
    gold.variables(&mut names);
    answer.variables(&mut names);
    names.sort();
    (names.len() <= MOST_VARIABLES).then_some(names)
}

/// Coordinate `v` of point `k`: the first points are positive, the next of both signs, the others whole. The same in
/// every run.
fn coordinate(k: u64, v: u64) -> f64 {
    let random = Stream::new(k, v);
    match k {
        0..=7 => 0.3 + 2.2 * random.uniform(0),
        8..=11 => 4.0 * random.uniform(0) - 2.0,
        _ => (2 + random.below(0, 11)) as f64,
    }
}

/// 1 or -1 for an infinite expression.
fn infinite(expr: &Expr) -> Option<i8> {
    match expr {
        Expr::Infinity => Some(1),
        Expr::Negative(inner) => infinite(inner).map(|sign| -sign),
        _ => None,
    }
}

/// What stands before a percent sign.
fn percent(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Percent(inner) => Some((**inner).clone()),
        Expr::Negative(inner) => percent(inner).map(|inner| Expr::Negative(Box::new(inner))),
        _ => None,
    }
}

/// The size of the last digit of a decimal number as it is written; `None` for other expressions.
fn step(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Number(number) => number.decimal.then(|| 10f64.powi(-number.scale)),
        Expr::Negative(inner) | Expr::Degrees(inner) => step(inner),
        Expr::Percent(inner) => step(inner).map(|step| step / 100.0),
        Expr::Product(factors) => match factors.as_slice() {
            [lead, Expr::Power(ten, exponent)] if **ten == expr::whole(10) => {
                let power = match &**exponent {
                    Expr::Number(number) => number.integer()?,
                    Expr::Negative(inner) => match &**inner {
                        Expr::Number(number) => -number.integer()?,
                        _ => return None,
                    },
                    _ => return None,
                };
                step(lead).map(|step| step * 10f64.powi(i32::try_from(power).unwrap_or(i32::MAX)))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A number with a letter behind it that may be a unit, without the letter.
fn without_unit_letter(expr: &Expr) -> Option<Expr> {
    let Expr::Product(factors) = expr else { return None };
    let (Expr::Name(letter), rest) = factors.split_last()? else { return None };
    let known = letter.len() == 1 && "mgshLJNWVACFKT".contains(letter.as_str());
    (known && rest.iter().all(Expr::is_constant)).then(|| Expr::Product(rest.to_vec()))
}

fn quotient(parts: &[Expr]) -> Option<Expr> {
    match parts {
        [over, under] => Some(Expr::Product(vec![over.clone(), Expr::Inverse(Box::new(under.clone()))])),
        _ => None,
    }
}

/// The entries of a matrix of one row or one column.
fn vector(rows: &[Vec<Answer>]) -> Option<Vec<Answer>> {
    match rows {
        [row] => Some(row.clone()),
        _ if rows.iter().all(|row| row.len() == 1) => Some(rows.iter().flatten().cloned().collect()),
        _ => None,
    }
}

/// Values of differently named quantities, given without the names, are in gold's order.
fn named_in_order(golds: &[Answer], answers: &[Answer]) -> Order {
    let name = |answer: &Answer| match answer {
        Answer::Assigned { name, .. } => Some(name.clone()),
        _ => None,
    };
    let names: Option<Vec<String>> = golds.iter().map(name).collect();
    let differ = names.is_some_and(|names| names.iter().any(|other| *other != names[0]));
    if differ && answers.iter().all(|answer| name(answer).is_none()) { Order::Given } else { Order::Any }
}
