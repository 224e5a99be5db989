//! Complex numbers of any size: 100! / 2^50 has to compare as well as 1/3.

use std::f64::consts::LN_2;

/// The rounding of one operation.
const EPSILON: f64 = f64::EPSILON;

/// (re + i im) 2^exp, known to about +-noise 2^exp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wide {
    re: f64,
    im: f64,
    exp: i64,
    noise: f64,
}

impl Wide {
    pub(super) const ZERO: Wide = Wide { re: 0.0, im: 0.0, exp: 0, noise: 0.0 };
    pub(super) const ONE: Wide = Wide { re: 1.0, im: 0.0, exp: 0, noise: 0.0 };
    pub(super) const I: Wide = Wide { re: 0.0, im: 1.0, exp: 0, noise: 0.0 };

    /// `None` where a part is not finite.
    pub(super) fn new(re: f64, im: f64) -> Option<Wide> {
        Wide { re, im, exp: 0, noise: EPSILON * re.abs().max(im.abs()) }.normal()
    }

    pub(super) fn real(re: f64) -> Option<Wide> {
        Wide::new(re, 0.0)
    }

    fn normal(self) -> Option<Wide> {
        let size = self.re.abs().max(self.im.abs()).max(self.noise);
        if !(size.is_finite() && self.exp.abs() < i64::MAX / 4) {
            return None;
        }
        if size == 0.0 {
            return Some(Wide::ZERO);
        }
        let shift = size.log2().floor().clamp(-1000.0, 1000.0);
        let factor = (-shift).exp2();
        Some(Wide {
            re: self.re * factor,
            im: self.im * factor,
            exp: self.exp + shift as i64,
            noise: self.noise * factor,
        })
    }

    fn modulus(self) -> f64 {
        self.re.hypot(self.im)
    }

    pub(super) fn is_zero(self) -> bool {
        self.re == 0.0 && self.im == 0.0
    }

    /// The parts in units of 2^exp.
    fn at(self, exp: i64) -> (f64, f64, f64) {
        let factor = ((self.exp - exp).clamp(-2000, 2000) as f64).exp2();
        (self.re * factor, self.im * factor, self.noise * factor)
    }

    pub(super) fn plus(self, other: Wide) -> Option<Wide> {
        let exp = match (self.is_zero(), other.is_zero()) {
            (true, false) => other.exp,
            (false, true) => self.exp,
            _ => self.exp.max(other.exp),
        };
        let ((a, b, n), (c, d, m)) = (self.at(exp), other.at(exp));
        let size = a.hypot(b).max(c.hypot(d));
        Wide { re: a + c, im: b + d, exp, noise: n + m + EPSILON * size }.normal()
    }

    pub(super) fn negate(self) -> Wide {
        Wide { re: -self.re, im: -self.im, ..self }
    }

    pub(super) fn times(self, other: Wide) -> Option<Wide> {
        let (a, b) = (self.modulus(), other.modulus());
        Wide {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
            exp: self.exp.checked_add(other.exp)?,
            noise: a * other.noise + b * self.noise + EPSILON * a * b,
        }
        .normal()
    }

    /// 1 / self, or `None` for what may be 0.
    pub(super) fn inverse(self) -> Option<Wide> {
        let square = self.re * self.re + self.im * self.im;
        if square == 0.0 || self.noise >= 0.5 * square.sqrt() {
            return None;
        }
        let noise = self.noise / square + EPSILON / square.sqrt();
        Wide { re: self.re / square, im: -self.im / square, exp: -self.exp, noise }.normal()
    }

    /// self^n.
    pub(super) fn power(self, n: i64) -> Option<Wide> {
        let (mut base, mut rest, mut out) = (self, n.unsigned_abs(), Wide::ONE);
        while rest > 0 {
            if rest & 1 == 1 {
                out = out.times(base)?;
            }
            rest >>= 1;
            if rest > 0 {
                base = base.times(base)?;
            }
        }
        if n < 0 { out.inverse() } else { Some(out) }
    }

    pub(super) fn sqrt(self) -> Option<Wide> {
        if self.is_zero() {
            return Some(Wide::ZERO);
        }
        let (a, b, n) = self.at(self.exp - self.exp.rem_euclid(2));
        let size = a.hypot(b);
        let re = ((size + a) / 2.0).max(0.0).sqrt();
        let im = ((size - a) / 2.0).max(0.0).sqrt().copysign(if b == 0.0 { 1.0 } else { b });
        let noise = n / (2.0 * size.sqrt()) + EPSILON * size.sqrt();
        Wide { re, im, exp: self.exp.div_euclid(2), noise }.normal()
    }

    /// The principal logarithm.
    pub(super) fn ln(self) -> Option<Wide> {
        let size = self.modulus();
        if size == 0.0 {
            return None;
        }
        let re = size.ln() + self.exp as f64 * LN_2;
        let im = self.im.atan2(self.re);
        let noise = self.noise / size + EPSILON * re.abs().max(1.0);
        Wide { re, im, exp: 0, noise }.normal()
    }

    pub(super) fn exp(self) -> Option<Wide> {
        let (re, im, noise) = self.small(1e12)?;
        let turns = (re / LN_2).round();
        let size = (re - turns * LN_2).exp();
        let noise = size * (noise + EPSILON * (1.0 + re.abs() + im.abs()));
        Wide { re: size * im.cos(), im: size * im.sin(), exp: turns as i64, noise }.normal()
    }

    /// The parts and the noise as plain numbers, where both parts are below `bound`.
    fn small(self, bound: f64) -> Option<(f64, f64, f64)> {
        let (re, im, noise) = self.at(0);
        (self.exp < 1000 && re.abs() < bound && im.abs() < bound).then_some((re, im, noise))
    }

    /// self^other, principal.
    pub(super) fn raise(self, other: Wide) -> Option<Wide> {
        if self.is_zero() {
            return other.as_real().filter(|e| *e > 0.0).map(|_| Wide::ZERO);
        }
        match other.as_integer() {
            Some(n) => self.power(n),
            None => self.ln()?.times(other)?.exp(),
        }
    }

    pub(super) fn sin(self) -> Option<Wide> {
        let (x, y, noise) = self.small(1e9).filter(|(_, im, _)| im.abs() < 700.0)?;
        let (re, im) = (x.sin() * y.cosh(), x.cos() * y.sinh());
        let noise = (noise + EPSILON * (1.0 + x.abs())) * y.cosh();
        Wide { re, im, exp: 0, noise }.normal()
    }

    pub(super) fn cos(self) -> Option<Wide> {
        Wide::real(std::f64::consts::FRAC_PI_2)?.plus(self.negate())?.sin()
    }

    /// The number, where its imaginary part is only noise.
    pub(super) fn as_real(self) -> Option<f64> {
        let (re, im, noise) = self.at(0);
        let real = im.abs() <= noise.max(1e-12 * re.abs());
        (self.exp < 1000 && real && re.is_finite()).then_some(re)
    }

    /// The number, where it is a whole one up to noise.
    pub(super) fn as_integer(self) -> Option<i64> {
        let x = self.as_real().filter(|x| x.abs() < 1e12)?;
        ((x - x.round()).abs() <= 1e-9).then_some(x.round() as i64)
    }

    /// Whether both are the same up to a relative `tolerance` or, where that is small, up to rounding.
    pub(super) fn is_close(self, other: Wide, tolerance: f64) -> bool {
        let Some(difference) = self.plus(other.negate()) else { return false };
        let exp = difference.exp.max(self.exp).max(other.exp);
        let size = |w: Wide| {
            let (a, b, _) = w.at(exp);
            a.hypot(b)
        };
        let gap = size(difference);
        let noise = difference.at(exp).2;
        // A difference of large numbers must not be equal to everything: what rounding hides has to be small itself.
        let hidden = if (noise.log2() + exp as f64) < -30.0 { noise } else { 0.0 };
        gap <= (tolerance * size(self).max(size(other))).max(hidden)
    }

    /// The difference's modulus, as a plain number.
    pub(super) fn distance(self, other: Wide) -> Option<f64> {
        let (re, im, _) = self.plus(other.negate())?.small(1e300)?;
        Some(re.hypot(im))
    }

    /// The modulus as a plain number.
    pub(super) fn size(self) -> Option<f64> {
        let (re, im, _) = self.small(1e300)?;
        Some(re.hypot(im))
    }

    /// Nine significant digits: equal for equal numbers but for unlucky rounding.
    pub(super) fn key(self) -> String {
        if let Some(n) = self.as_integer() {
            return n.to_string();
        }
        let part = |x: f64| match x.abs() <= self.noise.max(1e-12) {
            true => String::new(),
            false => format!("{x:.8e}"),
        };
        match self.small(1e300) {
            Some((re, im, _)) if im.abs() <= 1e-12 * re.abs() => format!("{re:.8e}"),
            Some((re, im, _)) => format!("{re:.8e}{im:+.8e}i"),
            None => format!("({} {}i)2^{}", part(self.re), part(self.im), self.exp),
        }
    }
}
