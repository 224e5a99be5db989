//! What an expression comes to: as a complex number, and exactly as a residue.
//!
//! Nothing here grows with the numbers in the text: where big rationals would, two residues modulo primes of 61 bits
//! tell exact values apart (an answer that is wrong and still agrees would have to be gold plus a multiple of both).

use std::cell::Cell;

use super::expr::Expr;
use super::token::{Function, Number};
use super::wide::Wide;

/// Factors that a factorial or binomial may have.
const LONGEST_PRODUCT: i64 = 3000;

/// What the evaluations of one judgement may cost, in operations.
pub(super) const BUDGET: u32 = 1_000_000;

/// Values of the variables, and what may still be spent.
pub(super) struct Point<'a, V> {
    pub(super) names: &'a [String],
    pub(super) values: &'a [V],
    pub(super) budget: &'a Cell<u32>,
}

impl<V: Copy> Point<'_, V> {
    fn spend(&self, cost: u32) -> Option<()> {
        self.budget.set(self.budget.get().checked_sub(cost)?);
        Some(())
    }

    fn variable(&self, name: &str) -> Option<V> {
        let at = self.names.iter().position(|n| n == name)?;
        self.values.get(at).copied()
    }
}

impl Number {
    fn wide(&self) -> Option<Wide> {
        let digits = self.digits.trim_start_matches('0');
        let (lead, rest) = digits.split_at(digits.len().min(18));
        let lead: f64 = if lead.is_empty() { return Some(Wide::ZERO) } else { lead.parse().ok()? };
        let power = rest.len() as i64 - i64::from(self.scale);
        Wide::real(lead)?.times(Wide::real(10.0)?.power(power)?)
    }

    /// The whole number that this is, where it is one and small.
    pub(super) fn integer(&self) -> Option<i64> {
        if self.scale <= 0 {
            let value: i64 = if self.digits.len() <= 15 { self.digits.parse().ok()? } else { return None };
            return value.checked_mul(10i64.checked_pow(self.scale.unsigned_abs())?);
        }
        let cut = self.digits.len().checked_sub(self.scale as usize).filter(|_| self.digits.len() <= 30)?;
        let (whole, rest) = self.digits.split_at(cut);
        let zero = rest.bytes().all(|b| b == b'0');
        if zero { if whole.is_empty() { Some(0) } else { whole.parse().ok() } } else { None }
    }
}

/// The value of `expr`; `None` where it has none, or too large a one, or the budget is spent.
pub(super) fn wide(expr: &Expr, point: &Point<'_, Wide>) -> Option<Wide> {
    value(expr, point, false)
}

/// As [`wide`]; in an `angle`, degrees are radians.
fn value(expr: &Expr, point: &Point<'_, Wide>, angle: bool) -> Option<Wide> {
    point.spend(1)?;
    let of = |x: &Expr| value(x, point, angle);
    match expr {
        Expr::Number(number) => number.wide(),
        Expr::Name(name) => match name.as_str() {
            "π" => Wide::real(std::f64::consts::PI),
            "e" => Wide::real(std::f64::consts::E),
            "i" => Some(Wide::I),
            _ => point.variable(name),
        },
        Expr::Infinity => None,
        Expr::Sum(xs) => xs.iter().try_fold(Wide::ZERO, |sum, x| sum.plus(of(x)?)),
        Expr::Product(xs) => xs.iter().try_fold(Wide::ONE, |product, x| product.times(of(x)?)),
        Expr::Negative(x) => of(x).map(Wide::negate),
        Expr::Inverse(x) => of(x)?.inverse(),
        Expr::Power(base, exponent) => {
            point.spend(60)?;
            // An exponent's degrees are no angle.
            of(base)?.raise(value(exponent, point, false)?)
        }
        Expr::Root(x, index) => root(of(x)?, of(index)?),
        Expr::Call(function, x) => {
            point.spend(20)?;
            call(*function, value(x, point, is_trigonometric(*function))?)
        }
        Expr::Logarithm(base, x) => of(x)?.ln()?.times(of(base)?.ln()?.inverse()?),
        Expr::Factorial(x) => {
            let n = of(x)?.as_integer().filter(|n| (0..=LONGEST_PRODUCT).contains(n))?;
            point.spend(n as u32)?;
            (2..=n).try_fold(Wide::ONE, |product, k| product.times(Wide::real(k as f64)?))
        }
        Expr::Binomial(n, k) => {
            let (n, k) = (of(n)?, of(k)?.as_integer().filter(|k| (0..=LONGEST_PRODUCT).contains(k))?);
            point.spend(2 * k as u32)?;
            (0..k).try_fold(Wide::ONE, |product, j| {
                let over = n.plus(Wide::real(-j as f64)?)?;
                product.times(over)?.times(Wide::real((j + 1) as f64)?.inverse()?)
            })
        }
        Expr::Floor(x) => rounded(of(x)?, f64::floor),
        Expr::Ceiling(x) => rounded(of(x)?, f64::ceil),
        Expr::Absolute(x) => {
            let x = of(x)?;
            match x.as_real() {
                Some(real) if real < 0.0 => Some(x.negate()),
                Some(_) => Some(x),
                None => Wide::real(x.size()?),
            }
        }
        Expr::Degrees(x) if angle => of(x)?.times(Wide::real(std::f64::consts::PI / 180.0)?),
        Expr::Degrees(x) => of(x),
        Expr::Percent(x) => of(x)?.times(Wide::real(100.0)?.inverse()?),
    }
}

fn is_trigonometric(function: Function) -> bool {
    use Function::{Cos, Cot, Csc, Sec, Sin, Tan};
    matches!(function, Sin | Cos | Tan | Cot | Sec | Csc)
}

/// The real root where there is one: the cube root of -8 is -2.
fn root(x: Wide, index: Wide) -> Option<Wide> {
    let n = index.as_integer().filter(|n| (2..=1000).contains(n))?;
    if n == 2 {
        return x.sqrt();
    }
    let exponent = index.inverse()?;
    match x.as_real() {
        Some(real) if real < 0.0 && n % 2 == 1 => x.negate().raise(exponent).map(Wide::negate),
        _ => x.raise(exponent),
    }
}

fn rounded(x: Wide, round: fn(f64) -> f64) -> Option<Wide> {
    let real = x.as_real().filter(|x| x.abs() < 1e15)?;
    // A whole number that arithmetic has moved by its last bits is itself.
    let near = real.round();
    Wide::real(if (real - near).abs() <= 1e-9 * near.abs().max(1.0) { near } else { round(real) })
}

fn call(function: Function, x: Wide) -> Option<Wide> {
    let half = Wide::real(0.5)?;
    let over = |a: Wide, b: Wide| a.times(b.inverse()?);
    match function {
        Function::Sin => x.sin(),
        Function::Cos => x.cos(),
        Function::Tan => over(x.sin()?, x.cos()?),
        Function::Cot => over(x.cos()?, x.sin()?),
        Function::Sec => x.cos()?.inverse(),
        Function::Csc => x.sin()?.inverse(),
        Function::Asin => arcsine(x),
        Function::Acos => Wide::real(std::f64::consts::FRAC_PI_2)?.plus(arcsine(x)?.negate()),
        Function::Atan => {
            let ix = Wide::I.times(x)?;
            let ratio = over(Wide::ONE.plus(ix.negate())?, Wide::ONE.plus(ix)?)?;
            Wide::I.times(half)?.times(ratio.ln()?)
        }
        Function::Sinh => x.exp()?.plus(x.negate().exp()?.negate())?.times(half),
        Function::Cosh => x.exp()?.plus(x.negate().exp()?)?.times(half),
        Function::Tanh => {
            let double = x.plus(x)?.exp()?;
            over(double.plus(Wide::ONE.negate())?, double.plus(Wide::ONE)?)
        }
        Function::Log => x.ln(),
        Function::Lg => over(x.ln()?, Wide::real(10.0)?.ln()?),
        Function::Exp => x.exp(),
    }
}

/// -i ln(ix + sqrt(1 - x^2))
fn arcsine(x: Wide) -> Option<Wide> {
    let under = Wide::ONE.plus(x.times(x)?.negate())?.sqrt()?;
    Wide::I.negate().times(Wide::I.times(x)?.plus(under)?.ln()?)
}

/// A prime of 61 bits that is 1 modulo 4, and a square root of -1 modulo it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) prime: u64,
    pub(super) i: u64,
}

/// 2^61 - 31 and 2^61 - 259.
pub(super) const FIELDS: [Field; 2] = [
    Field { prime: 2_305_843_009_213_693_921, i: 583_529_827_753_931_384 },
    Field { prime: 2_305_843_009_213_693_693, i: 966_685_122_347_009_555 },
];

impl Field {
    fn times(self, a: u64, b: u64) -> u64 {
        (u128::from(a) * u128::from(b) % u128::from(self.prime)) as u64
    }

    fn plus(self, a: u64, b: u64) -> u64 {
        (a + b) % self.prime
    }

    fn power(self, base: u64, mut n: u64) -> u64 {
        let (mut base, mut out) = (base, 1);
        while n > 0 {
            if n & 1 == 1 {
                out = self.times(out, base);
            }
            base = self.times(base, base);
            n >>= 1;
        }
        out
    }

    fn inverse(self, a: u64) -> Option<u64> {
        (a != 0).then(|| self.power(a, self.prime - 2))
    }

    fn whole(self, n: i64) -> u64 {
        n.rem_euclid(self.prime as i64) as u64
    }
}

/// The value of `expr` in `field`; π and e count as variables, which is exact, since no rational function of either is
/// 0. `None` where there is none: roots, logarithms and the like.
pub(super) fn residue(expr: &Expr, field: Field, point: &Point<'_, u64>) -> Option<u64> {
    point.spend(1)?;
    let of = |x: &Expr| residue(x, field, point);
    match expr {
        Expr::Number(number) => {
            point.spend(number.digits.len() as u32)?;
            let digits = number
                .digits
                .bytes()
                .fold(0, |value, digit| field.plus(field.times(value, 10), u64::from(digit - b'0')));
            let ten = field.power(10, u64::from(number.scale.unsigned_abs()));
            Some(field.times(digits, if number.scale > 0 { field.inverse(ten)? } else { ten }))
        }
        Expr::Name(name) => match name.as_str() {
            "π" => Some(1_234_567_890_123_457),
            "e" => Some(987_654_321_098_761),
            "i" => Some(field.i),
            _ => point.variable(name),
        },
        Expr::Sum(xs) => xs.iter().try_fold(0, |sum, x| Some(field.plus(sum, of(x)?))),
        Expr::Product(xs) => xs.iter().try_fold(1, |product, x| Some(field.times(product, of(x)?))),
        Expr::Negative(x) => of(x).map(|x| field.plus(0, field.prime - x)),
        Expr::Inverse(x) => field.inverse(of(x)?),
        Expr::Power(base, exponent) => {
            point.spend(60)?;
            let n = integer(exponent)?;
            let power = field.power(of(base)?, n.unsigned_abs());
            if n < 0 { field.inverse(power) } else { Some(power) }
        }
        Expr::Factorial(x) => {
            let n = integer(x).filter(|n| (0..=LONGEST_PRODUCT).contains(n))?;
            point.spend(n as u32)?;
            Some((2..=n).fold(1, |product, k| field.times(product, field.whole(k))))
        }
        Expr::Binomial(n, k) => {
            let (n, k) = (of(n)?, integer(k).filter(|k| (0..=LONGEST_PRODUCT).contains(k))?);
            point.spend(60 * k as u32)?;
            (0..k).try_fold(1, |product, j| {
                let over = field.plus(n, field.whole(-j));
                Some(field.times(product, field.times(over, field.inverse(field.whole(j + 1))?)))
            })
        }
        Expr::Percent(x) => Some(field.times(of(x)?, field.inverse(100)?)),
        Expr::Degrees(x) => of(x),
        Expr::Infinity
        | Expr::Root(..)
        | Expr::Call(..)
        | Expr::Logarithm(..)
        | Expr::Floor(_)
        | Expr::Ceiling(_)
        | Expr::Absolute(_) => None,
    }
}

/// The small whole number that an expression of whole numbers is.
fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Number(number) => number.integer(),
        Expr::Sum(xs) => xs.iter().try_fold(0i64, |sum, x| sum.checked_add(integer(x)?)),
        Expr::Product(xs) => xs.iter().try_fold(1i64, |product, x| product.checked_mul(integer(x)?)),
        Expr::Negative(x) => integer(x)?.checked_neg(),
        Expr::Power(base, exponent) => {
            integer(base)?.checked_pow(u32::try_from(integer(exponent)?).ok().filter(|n| *n < 64)?)
        }
        _ => None,
    }
}
