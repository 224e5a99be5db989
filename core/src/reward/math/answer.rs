//! What an answer is as a whole: a value, several, an interval, a matrix, an equation.

use super::expr::{self, Expr};
use super::token::{Command, Token};
use super::word::{self, Unit};

/// How deep lists and brackets of lists may stand in one another.
const DEEPEST: usize = 6;

/// An answer's structure.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Value(Quantity),
    /// Ordered, in brackets: a point, a vector or an interval.
    Tuple {
        open: char,
        close: char,
        items: Vec<Answer>,
    },
    /// In braces.
    Set(Vec<Answer>),
    /// Side by side without brackets.
    List(Vec<Answer>),
    Union(Vec<Answer>),
    Matrix(Vec<Vec<Answer>>),
    /// `x = 5`, `f(x) = 2x`, `x ∈ (0, 1)`.
    Assigned {
        name: String,
        parameter: Option<String>,
        value: Box<Answer>,
    },
    Equation(Expr, Expr),
    /// Two or three sides, and the signs between them.
    Inequality(Vec<Expr>, Vec<char>),
    /// `7:32`
    Ratio(Vec<Expr>),
}

/// An expression with its unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantity {
    pub(super) expr: Expr,
    pub(super) unit: Option<Unit>,
}

impl Quantity {
    pub(super) fn new(expr: Expr) -> Quantity {
        Quantity { expr, unit: None }
    }
}

/// The answer that all of `tokens` are; `None` where they are prose.
pub(super) fn parse(tokens: &[Token]) -> Option<Answer> {
    part(tokens, 0)
}

fn part(tokens: &[Token], depth: usize) -> Option<Answer> {
    if tokens.is_empty() || depth > DEEPEST {
        return None;
    }
    let parts = items(tokens);
    if parts.len() > 1 {
        return several(&parts, depth).map(Answer::List);
    }
    let tokens = parts.first().copied()?;
    let signs = outer(tokens, |token| matches!(token, Token::Symbol(c) if "=<>≤≥≠≈∈".contains(*c)));
    if !signs.is_empty() {
        return relation(tokens, &signs, depth);
    }
    let cups = outer(tokens, |token| *token == Token::Symbol('∪'));
    if !cups.is_empty() {
        return union(&split(tokens, &cups), depth);
    }
    let colons = outer(tokens, |token| *token == Token::Symbol(':'));
    if !colons.is_empty() {
        return split(tokens, &colons).into_iter().map(expr::parse).collect::<Option<_>>().map(Answer::Ratio);
    }
    bracketed(tokens, depth)
        .or_else(|| either_sign(tokens, depth))
        .or_else(|| quantity(tokens).map(Answer::Value))
}

/// The places of the tokens outside all brackets that `wanted` picks.
fn outer(tokens: &[Token], wanted: impl Fn(&Token) -> bool) -> Vec<usize> {
    let mut depth = 0i32;
    let mut places = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if let Token::Symbol(c) = token {
            depth += i32::from("([{⦃⌊⌈⟨⟦".contains(*c)) - i32::from(")]}⦄⌋⌉⟩⟧".contains(*c));
        }
        if depth == 0 && wanted(token) {
            places.push(at);
        }
    }
    places
}

fn split<'t>(tokens: &'t [Token], places: &[usize]) -> Vec<&'t [Token]> {
    let mut parts = Vec::new();
    let mut start = 0;
    for &place in places {
        parts.push(&tokens[start..place]);
        start = place + 1;
    }
    parts.push(&tokens[start..]);
    parts
}

/// The parts between the strongest separators: semicolons, or else commas and the words and, or.
fn items(tokens: &[Token]) -> Vec<&[Token]> {
    let semicolons = outer(tokens, |token| *token == Token::Separator(';'));
    let places = match semicolons.is_empty() {
        true => outer(tokens, |token| matches!(token, Token::Separator(_))),
        false => semicolons,
    };
    let mut parts = split(tokens, &places);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Each part as an answer; what a `±` makes of one part stands beside the others.
fn several(parts: &[&[Token]], depth: usize) -> Option<Vec<Answer>> {
    let mut out = Vec::new();
    for tokens in parts {
        match part(tokens, depth + 1)? {
            Answer::List(more) if tokens.iter().any(is_either_sign) => out.extend(more),
            answer => out.push(answer),
        }
    }
    Some(out)
}

fn is_either_sign(token: &Token) -> bool {
    matches!(token, Token::Symbol('±' | '∓'))
}

/// `a ± b` is both.
fn either_sign(tokens: &[Token], depth: usize) -> Option<Answer> {
    if !tokens.iter().any(is_either_sign) {
        return None;
    }
    let with = |upper: char, lower: char| -> Option<Answer> {
        let signed: Vec<Token> = tokens
            .iter()
            .map(|token| match token {
                Token::Symbol('±') => Token::Symbol(upper),
                Token::Symbol('∓') => Token::Symbol(lower),
                other => other.clone(),
            })
            .collect();
        part(&signed, depth + 1)
    };
    Some(Answer::List(vec![with('+', '-')?, with('-', '+')?]))
}

/// Several sets and intervals; elements of finite sets together.
fn union(parts: &[&[Token]], depth: usize) -> Option<Answer> {
    let (mut elements, mut rest) = (Vec::new(), Vec::new());
    for tokens in parts {
        match part(tokens, depth + 1)? {
            Answer::Set(more) => elements.extend(more),
            other => rest.push(other),
        }
    }
    if rest.is_empty() {
        return Some(Answer::Set(elements));
    }
    if !elements.is_empty() {
        rest.push(Answer::Set(elements));
    }
    Some(Answer::Union(rest))
}

/// What stands in one pair of brackets: a tuple, an interval, a set, a matrix, or just something in brackets.
fn bracketed(tokens: &[Token], depth: usize) -> Option<Answer> {
    let (Some(Token::Symbol(open)), Some(Token::Symbol(close))) = (tokens.first(), tokens.last()) else {
        return if tokens == [Token::Name("∅".into())] { Some(Answer::Set(Vec::new())) } else { None };
    };
    // The first token's partner has to be the last one.
    let whole = "([{⦃⟨⟦".contains(*open)
        && ")]}⦄⟩⟧".contains(*close)
        && outer(&tokens[..tokens.len() - 1], |_| true).is_empty();
    if !whole {
        return None;
    }
    let inner = &tokens[1..tokens.len() - 1];
    if *open == '⟦' {
        return matrix(inner, depth);
    }
    let parts = items(inner);
    match open {
        '⦃' => several(&parts, depth).map(Answer::Set),
        '{' if parts.len() > 1 => several(&parts, depth).map(Answer::Set),
        '{' | '⟨' if parts.len() == 1 => part(inner, depth + 1),
        _ if parts.len() > 1 => {
            let items = parts.iter().map(|tokens| part(tokens, depth + 1)).collect::<Option<_>>()?;
            let (open, close) = if *open == '⟨' { ('(', ')') } else { (*open, *close) };
            Some(Answer::Tuple { open, close, items })
        }
        // A value in brackets, unless it is more than one.
        _ if parts.len() == 1 && expr::parse(tokens).is_none() => part(inner, depth + 1),
        _ => None,
    }
}

fn matrix(inner: &[Token], depth: usize) -> Option<Answer> {
    let ends = outer(inner, |token| *token == Token::Symbol('⏎'));
    let mut rows = Vec::new();
    for row in split(inner, &ends) {
        if row.is_empty() {
            continue;
        }
        let columns = outer(row, |token| *token == Token::Symbol('&'));
        rows.push(
            split(row, &columns).into_iter().map(|cell| part(cell, depth + 1)).collect::<Option<Vec<_>>>()?,
        );
    }
    (!rows.is_empty()).then_some(Answer::Matrix(rows))
}

/// Sides with signs between them, the places of which are `signs`.
fn relation(tokens: &[Token], signs: &[usize], depth: usize) -> Option<Answer> {
    let mut sides = split(tokens, signs);
    let mut signs: Vec<char> = signs
        .iter()
        .map(|at| match &tokens[*at] {
            Token::Symbol(c) => *c,
            _ => '=',
        })
        .collect();
    // What a value is about equal to is not the answer, unless there is nothing else.
    if let Some(about) = signs.iter().position(|c| *c == '≈') {
        if about > 0 || name_of(sides[0]).is_none() {
            sides.truncate(about + 1);
            signs.truncate(about);
        } else {
            signs[0] = '=';
        }
    }
    let (first, last) = (*sides.first()?, *sides.last()?);
    if sides.len() == 1 {
        return part(first, depth + 1);
    }
    if signs.iter().all(|c| "=∈".contains(*c)) {
        let assigned = |(name, parameter), value: &[Token]| {
            Some(Answer::Assigned { name, parameter, value: Box::new(part(value, depth + 1)?) })
        };
        return match (name_of(first), name_of(last)) {
            (Some(name), _) => assigned(name, last),
            (None, Some(name)) if sides.len() == 2 => assigned(name, first),
            _ => Some(Answer::Equation(expr::parse(first)?, expr::parse(last)?)),
        };
    }
    if sides.len() > 3 || signs.contains(&'=') || signs.contains(&'∈') {
        return None;
    }
    sides.into_iter().map(expr::parse).collect::<Option<_>>().map(|sides| Answer::Inequality(sides, signs))
}

/// The name that the side of an assignment is, with the parameter of a function; `None` for an expression.
fn name_of(side: &[Token]) -> Option<(String, Option<String>)> {
    let spell = || -> String {
        let of = |token: &Token| match token {
            Token::Name(text) | Token::Word(text) => text.clone(),
            Token::Number(number) => number.digits.clone(),
            Token::Symbol(c) | Token::Separator(c) => c.to_string(),
            Token::Command(_) | Token::Function(_) => String::new(),
        };
        side.iter().map(of).collect()
    };
    let capital = |token: &Token| matches!(token, Token::Name(name) if name.starts_with(char::is_uppercase));
    let brackets = |token: &Token| matches!(token, Token::Symbol('{' | '}' | ':' | '/'));
    match side {
        [Token::Name(name)] => (name != "π").then(|| (name.clone(), None)),
        [Token::Name(name), Token::Symbol('('), Token::Name(parameter), Token::Symbol(')')] => {
            Some((name.clone(), Some(parameter.clone())))
        }
        [Token::Name(_), Token::Symbol('('), inside @ .., Token::Symbol(')')] => {
            let names =
                |token: &Token| matches!(token, Token::Name(_) | Token::Number(_) | Token::Separator(','));
            inside.iter().all(names).then(|| (spell(), None))
        }
        [Token::Symbol('∠'), points @ ..] | [Token::Command(Command::Frac), points @ ..] | points
            if !points.is_empty()
                && points.iter().any(capital)
                && points.iter().all(|token| capital(token) || brackets(token)) =>
        {
            Some((spell(), None))
        }
        [Token::Symbol('('), names @ .., Token::Symbol(')')]
            if names.iter().all(|token| matches!(token, Token::Name(_) | Token::Separator(','))) =>
        {
            Some((spell(), None))
        }
        words if !words.is_empty() && words.iter().all(|token| matches!(token, Token::Word(_))) => {
            Some((spell(), None))
        }
        _ => None,
    }
}

/// An expression, and behind it words that are its unit.
fn quantity(tokens: &[Token]) -> Option<Quantity> {
    let filler = |token: &Token| {
        matches!(token, Token::Word(word) if
            ["approximately", "about", "exactly", "is", "equals", "only", "the"].contains(&word.to_lowercase().as_str()))
    };
    let tokens = &tokens[tokens.iter().take_while(|token| filler(token)).count()..];
    // The scale of a temperature.
    let tokens = match tokens {
        [rest @ .., Token::Symbol('°'), Token::Name(scale)] if ["C", "F", "K"].contains(&scale.as_str()) => {
            &tokens[..rest.len() + 1]
        }
        [rest @ .., Token::Symbol('°'), Token::Symbol('}'), Token::Name(scale)]
            if ["C", "F", "K"].contains(&scale.as_str()) =>
        {
            &tokens[..rest.len() + 2]
        }
        _ => tokens,
    };
    let unit_token = |token: &Token| {
        matches!(token, Token::Word(_) | Token::Name(_) | Token::Number(_))
            || matches!(token, Token::Symbol(c) if "/^{}*-°".contains(*c))
    };
    let word = tokens.iter().skip(1).position(|token| matches!(token, Token::Word(_))).map(|at| at + 1);
    let start = word.filter(|at| tokens[*at..].iter().all(unit_token));
    let Some(start) = start else { return expr::parse(tokens).map(Quantity::new) };
    let expr = expr::parse(&tokens[..start])?;
    let name = spell_unit(&tokens[start..]);
    if ["percent", "pct", "percentage"].contains(&name.as_str()) {
        return Some(Quantity::new(Expr::Percent(Box::new(expr))));
    }
    Some(Quantity { expr, unit: word::unit(&name) })
}

fn spell_unit(tokens: &[Token]) -> String {
    let mut out = String::new();
    for token in tokens {
        match token {
            Token::Word(word) | Token::Name(word) => {
                if out.ends_with(char::is_alphanumeric) {
                    out.push(' ');
                }
                out += &word.to_lowercase();
            }
            Token::Number(number) => out += &number.digits,
            Token::Symbol(c) if !"{}".contains(*c) => out.push(*c),
            _ => {}
        }
    }
    out
}
