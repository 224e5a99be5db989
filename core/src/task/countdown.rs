//! A number to be made from others.

use super::{Problem, Random, Task};

/// Make the target from all the numbers, each once, with +, -, * and /: `2 3 7>13=` is answered by `2*3+7`. Any
/// expression that does is right, so the verifier works it out.
#[derive(Clone, Copy, Debug)]
pub struct Countdown {
    /// 1: two numbers below 10. 2: three, without products. 3: three. 4: four.
    pub level: usize,
}

impl Countdown {
    fn count(self) -> usize {
        [2, 3, 3, 4][self.level - 1]
    }

    fn operators(self) -> &'static [u8] {
        if self.level == 2 { b"+-" } else { b"+-*" }
    }

    /// The numbers in random order with random operators between them.
    fn expression(self, numbers: &[i64], random: &mut Random) -> String {
        let mut order: Vec<i64> = numbers.to_vec();
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i + 1));
        }
        let mut text = order[0].to_string();
        for number in &order[1..] {
            let operators = self.operators();
            text.push(char::from(operators[random.below(operators.len())]));
            text += &number.to_string();
        }
        text
    }
}

impl Task for Countdown {
    fn name(&self) -> &'static str {
        "countdown"
    }

    fn description(&self) -> String {
        let products = if self.level == 2 { "" } else { "* " };
        format!(
            "make a number from {} others, each once, with + - {products}and brackets or / where wanted; a wrong \
             demonstration makes another number of them",
            self.count()
        )
    }

    fn problem(&self, random: &mut Random) -> Problem {
        loop {
            // In ascending order: the same numbers in another one are the same problem.
            let mut numbers: Vec<i64> = (0..self.count()).map(|_| 1 + random.below(9) as i64).collect();
            numbers.sort_unstable();
            let answer = self.expression(&numbers, random);
            match evaluate(&answer) {
                Some((target, 1, _)) if (0..=99).contains(&target) => {
                    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
                    return Problem { prompt: format!("{}>{target}=", numbers.join(" ")), answer };
                }
                _ => {}
            }
        }
    }

    fn mistake(&self, problem: &Problem, random: &mut Random) -> String {
        // Of sum and difference of numbers above 0 at least one misses the target, so this ends.
        let (numbers, _) = given(&problem.prompt).unwrap_or_default();
        loop {
            let other = self.expression(&numbers, random);
            if self.reward(problem, &other) == 0.0 {
                return other;
            }
        }
    }

    fn reward(&self, problem: &Problem, completion: &str) -> f64 {
        let right = || {
            let (mut numbers, target) = given(&problem.prompt)?;
            let (over, under, mut used) = evaluate(completion)?;
            numbers.sort_unstable();
            used.sort_unstable();
            Some(numbers == used && over == target.checked_mul(under)?)
        };
        f64::from(u8::from(right().unwrap_or(false)))
    }
}

/// The numbers and the target of a prompt.
fn given(prompt: &str) -> Option<(Vec<i64>, i64)> {
    let (numbers, target) = prompt.strip_suffix('=')?.split_once('>')?;
    let numbers: Result<Vec<i64>, _> = numbers.split(' ').map(str::parse).collect();
    Some((numbers.ok()?, target.parse().ok()?))
}

/// The value of an expression, over and under the fraction's line, and the numbers in it. `None` for anything but
/// whole numbers, + - * / and brackets, and for a division by 0.
pub(super) fn evaluate(text: &str) -> Option<(i64, i64, Vec<i64>)> {
    // A right answer is short; a long one must not exhaust the stack.
    if text.len() > 100 {
        return None;
    }
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, numbers: Vec::new() };
    let (over, under) = reader.sum()?;
    (reader.at == text.len()).then_some((over, under, reader.numbers))
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    numbers: Vec<i64>,
}

type Fraction = (i64, i64);

impl Reader<'_> {
    fn take(&mut self, wanted: &[u8]) -> Option<u8> {
        let found = *self.bytes.get(self.at)?;
        wanted.contains(&found).then(|| {
            self.at += 1;
            found
        })
    }

    fn sum(&mut self) -> Option<Fraction> {
        let mut sum = self.product()?;
        while let Some(sign) = self.take(b"+-") {
            let (over, under) = self.product()?;
            let over = if sign == b'-' { over.checked_neg()? } else { over };
            let cross = sum.0.checked_mul(under)?.checked_add(over.checked_mul(sum.1)?)?;
            sum = (cross, sum.1.checked_mul(under)?);
        }
        Some(sum)
    }

    fn product(&mut self) -> Option<Fraction> {
        let mut product = self.number()?;
        while let Some(sign) = self.take(b"*/") {
            let (over, under) = self.number()?;
            let (over, under) = if sign == b'/' { (under, over) } else { (over, under) };
            product = (product.0.checked_mul(over)?, product.1.checked_mul(under)?);
            if product.1 == 0 {
                return None;
            }
        }
        Some(product)
    }

    fn number(&mut self) -> Option<Fraction> {
        if self.take(b"(").is_some() {
            let inner = self.sum()?;
            return self.take(b")").map(|_| inner);
        }
        let digits = self.bytes[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let text = std::str::from_utf8(&self.bytes[self.at..self.at + digits]).ok()?;
        self.at += digits;
        let number = text.parse().ok()?;
        self.numbers.push(number);
        Some((number, 1))
    }
}
