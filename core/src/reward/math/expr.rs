//! One mathematical expression, from its tokens.

use super::token::{Command, Function, Number, Token};

/// How deep brackets, fractions and powers may stand in one another; what is deeper is not read as mathematics.
const DEEPEST: usize = 40;

/// An expression. Sums and products are flat, so that the depth of what a long text builds is that of its brackets.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Number(Number),
    /// A variable, or a constant: `π`, `e`, `i`.
    Name(String),
    Infinity,
    Sum(Vec<Expr>),
    Product(Vec<Expr>),
    Negative(Box<Expr>),
    Inverse(Box<Expr>),
    Power(Box<Expr>, Box<Expr>),
    /// Radicand and index.
    Root(Box<Expr>, Box<Expr>),
    Call(Function, Box<Expr>),
    /// Base and argument.
    Logarithm(Box<Expr>, Box<Expr>),
    Factorial(Box<Expr>),
    Binomial(Box<Expr>, Box<Expr>),
    Floor(Box<Expr>),
    Ceiling(Box<Expr>),
    Absolute(Box<Expr>),
    Degrees(Box<Expr>),
    Percent(Box<Expr>),
}

/// The expression that all of `tokens` are.
pub(super) fn parse(tokens: &[Token]) -> Option<Expr> {
    let mut parser = Parser { tokens, at: 0, depth: 0, bars: 0 };
    let expr = parser.sum()?;
    (parser.at == tokens.len()).then_some(expr)
}

/// The whole number `value`.
pub(super) fn whole(value: u32) -> Expr {
    Expr::Number(Number { digits: value.to_string(), scale: 0, decimal: false })
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    /// How many `|` are open.
    bars: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is(&self, symbol: char) -> bool {
        matches!(self.peek(), Some(Token::Symbol(c)) if *c == symbol)
    }

    fn take(&mut self, symbol: char) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let out = if self.depth > DEEPEST { None } else { inner(self) };
        self.depth -= 1;
        out
    }

    fn sum(&mut self) -> Option<Expr> {
        self.deeper(|parser| {
            let mut terms = vec![parser.signed()?];
            while parser.is('+') || parser.is('-') {
                terms.push(parser.signed()?);
            }
            Some(one_or(terms, Expr::Sum))
        })
    }

    /// A product after any number of signs.
    fn signed(&mut self) -> Option<Expr> {
        let mut negative = false;
        loop {
            if self.take('-') {
                negative = !negative;
            } else if !self.take('+') {
                break;
            }
        }
        let product = self.product()?;
        Some(if negative { Expr::Negative(Box::new(product)) } else { product })
    }

    fn product(&mut self) -> Option<Expr> {
        let mut factors = vec![self.power()?];
        loop {
            if self.take('*') {
                factors.push(self.factor()?);
            } else if self.take('/') {
                factors.push(Expr::Inverse(Box::new(self.factor()?)));
            } else if self.starts() {
                factors.push(self.power()?);
            } else {
                return Some(one_or(factors, Expr::Product));
            }
        }
    }

    /// A factor after an operator, where a sign may stand.
    fn factor(&mut self) -> Option<Expr> {
        if self.take('-') {
            return Some(Expr::Negative(Box::new(self.power()?)));
        }
        self.take('+');
        self.power()
    }

    /// Whether the next token can begin a factor without an operator before it.
    fn starts(&self) -> bool {
        match self.peek() {
            Some(Token::Name(_) | Token::Function(_) | Token::Command(_)) => true,
            // Two numbers side by side are no product.
            Some(Token::Number(_)) => !matches!(self.tokens[self.at - 1], Token::Number(_)),
            Some(Token::Symbol('|')) => self.bars == 0,
            Some(Token::Symbol(c)) => "({[⌊⌈∞".contains(*c),
            _ => false,
        }
    }

    /// A primary with its powers, factorials, degrees and percent signs.
    fn power(&mut self) -> Option<Expr> {
        let mut base = self.primary()?;
        for _ in 0..DEEPEST {
            if self.take('!') {
                base = Expr::Factorial(Box::new(base));
            } else if self.take('%') {
                base = Expr::Percent(Box::new(base));
            } else if self.take('°') {
                base = Expr::Degrees(Box::new(base));
            } else if self.take('^') {
                base = self.raised(base)?;
            } else {
                return Some(base);
            }
        }
        None
    }

    /// `base` with what stands after `^`.
    fn raised(&mut self, base: Expr) -> Option<Expr> {
        if let Some(mark) = self.mark() {
            return match (mark, base) {
                ('°', base) => Some(Expr::Degrees(Box::new(base))),
                (_, Expr::Name(name)) => Some(Expr::Name(format!("{name}'"))),
                _ => None,
            };
        }
        let exponent = self.exponent()?;
        Some(Expr::Power(Box::new(base), Box::new(exponent)))
    }

    /// A degree sign or prime as exponent.
    fn mark(&mut self) -> Option<char> {
        let braces = usize::from(self.is('{'));
        let Some(Token::Symbol(mark @ ('°' | '′'))) = self.tokens.get(self.at + braces) else {
            return None;
        };
        if braces == 1 && self.tokens.get(self.at + 2) != Some(&Token::Symbol('}')) {
            return None;
        }
        self.at += 1 + 2 * braces;
        Some(*mark)
    }

    fn exponent(&mut self) -> Option<Expr> {
        self.deeper(|parser| {
            let negative = parser.take('-');
            let mut exponent = parser.primary()?;
            if parser.take('^') {
                exponent = parser.raised(exponent)?;
            }
            Some(if negative { Expr::Negative(Box::new(exponent)) } else { exponent })
        })
    }

    /// What stands between the bracket that comes next and its partner.
    fn group(&mut self, open: char, close: char) -> Option<Expr> {
        if !self.take(open) {
            return None;
        }
        let bars = std::mem::take(&mut self.bars);
        let inner = self.sum()?;
        self.bars = bars;
        self.take(close).then_some(inner)
    }

    fn primary(&mut self) -> Option<Expr> {
        match self.peek()?.clone() {
            Token::Number(number) => {
                self.at += 1;
                Some(self.mixed(number))
            }
            Token::Name(name) => {
                self.at += 1;
                Some(self.applied(name))
            }
            Token::Word(word) => {
                self.at += 1;
                Some(Expr::Name(word))
            }
            Token::Function(function) => {
                self.at += 1;
                self.call(function)
            }
            Token::Command(command) => {
                self.at += 1;
                self.command(command)
            }
            Token::Symbol('(') => self.group('(', ')'),
            Token::Symbol('[') => self.group('[', ']'),
            Token::Symbol('{') => self.group('{', '}'),
            Token::Symbol('⌊') => self.group('⌊', '⌋').map(|x| Expr::Floor(Box::new(x))),
            Token::Symbol('⌈') => self.group('⌈', '⌉').map(|x| Expr::Ceiling(Box::new(x))),
            Token::Symbol('|') => {
                self.at += 1;
                self.bars += 1;
                let inner = self.sum()?;
                self.bars -= 1;
                self.take('|').then(|| Expr::Absolute(Box::new(inner)))
            }
            Token::Symbol('∞') => {
                self.at += 1;
                Some(Expr::Infinity)
            }
            Token::Symbol('∠') => {
                self.at += 1;
                let mut name = String::from("∠");
                while let Some(Token::Name(point)) = self.peek() {
                    name += point;
                    self.at += 1;
                }
                Some(Expr::Name(name))
            }
            _ => None,
        }
    }

    /// `3\frac{1}{2}` and `3 1/2` are mixed numbers.
    fn mixed(&mut self, number: Number) -> Expr {
        let is_whole =
            |token: Option<&Token>| matches!(token, Some(Token::Number(n)) if n.scale == 0 && !n.decimal);
        let ahead = |n: usize| self.tokens.get(self.at + n);
        let symbol = |n: usize, c: char| ahead(n) == Some(&Token::Symbol(c));
        if number.decimal {
            return Expr::Number(number);
        }
        let plain = is_whole(ahead(0)) && symbol(1, '/') && is_whole(ahead(2));
        let latex = ahead(0) == Some(&Token::Command(Command::Frac))
            && (symbol(1, '{') && is_whole(ahead(2)) && symbol(3, '}'))
            && (symbol(4, '{') && is_whole(ahead(5)) && symbol(6, '}'));
        let (over, under, length) = match (plain, latex) {
            (true, _) => (0, 2, 3),
            (_, true) => (2, 5, 7),
            _ => return Expr::Number(number),
        };
        let part = |n: usize| match ahead(n) {
            Some(Token::Number(n)) => Expr::Number(n.clone()),
            _ => whole(0),
        };
        let fraction = Expr::Product(vec![part(over), Expr::Inverse(Box::new(part(under)))]);
        self.at += length;
        Expr::Sum(vec![Expr::Number(number), fraction])
    }

    /// `f(x)` and `y(0)` are one value, `n(n+1)` and `k(m)` are products: an argument that is one number, or one name
    /// after a letter that usually is a function.
    fn applied(&mut self, name: String) -> Expr {
        let mut name = name;
        while self.is('′') {
            self.at += 1;
            name.push('\'');
        }
        let letter = name.trim_end_matches('\'');
        if let (Some(Token::Symbol('(')), Some(argument), Some(Token::Symbol(')'))) =
            (self.peek(), self.tokens.get(self.at + 1), self.tokens.get(self.at + 2))
        {
            let argument = match argument {
                Token::Number(number) if !"πei".contains(letter) => Some(number.digits.clone()),
                Token::Name(name) if letter.len() == 1 && "fghuFGHPQWyδ".contains(letter) => {
                    Some(name.clone())
                }
                _ => None,
            };
            if let Some(argument) = argument {
                self.at += 3;
                return Expr::Name(format!("{name}({argument})"));
            }
        }
        Expr::Name(name)
    }

    fn call(&mut self, function: Function) -> Option<Expr> {
        let mut function = function;
        let base = if self.take('_') { Some(self.group('{', '}')?) } else { None };
        let mut exponent = None;
        if self.take('^') {
            let power = self.exponent()?;
            let inverts = matches!(&power, Expr::Negative(one) if **one == whole(1));
            match function.inverse().filter(|_| inverts) {
                Some(inverse) => function = inverse,
                None => exponent = Some(power),
            }
        }
        let argument = Box::new(self.deeper(Self::argument)?);
        let value = match (function, base) {
            (Function::Log, Some(base)) => Expr::Logarithm(Box::new(base), argument),
            (Function::Lg, None) => Expr::Logarithm(Box::new(whole(10)), argument),
            (_, None) => Expr::Call(function, argument),
            (_, Some(_)) => return None,
        };
        Some(match exponent {
            Some(exponent) => Expr::Power(Box::new(value), Box::new(exponent)),
            None => value,
        })
    }

    /// A function's argument: a bracket, or all factors up to the next sign, operator or function.
    fn argument(&mut self) -> Option<Expr> {
        if self.is('(') || self.is('{') || self.is('[') {
            return self.primary();
        }
        let negative = self.take('-');
        let mut factors = vec![if matches!(self.peek(), Some(Token::Function(_))) {
            self.primary()?
        } else {
            self.power()?
        }];
        while self.starts() && !matches!(self.peek(), Some(Token::Function(_))) {
            factors.push(self.power()?);
        }
        let product = one_or(factors, Expr::Product);
        Some(if negative { Expr::Negative(Box::new(product)) } else { product })
    }

    fn command(&mut self, command: Command) -> Option<Expr> {
        self.deeper(|parser| match command {
            Command::Sqrt => {
                let index = if parser.is('[') { parser.group('[', ']')? } else { whole(2) };
                let radicand = parser.primary()?;
                Some(Expr::Root(Box::new(radicand), Box::new(index)))
            }
            Command::Frac => {
                let (over, under) = (parser.primary()?, parser.primary()?);
                Some(Expr::Product(vec![over, Expr::Inverse(Box::new(under))]))
            }
            Command::Binom => {
                let (n, k) = (parser.primary()?, parser.primary()?);
                Some(Expr::Binomial(Box::new(n), Box::new(k)))
            }
        })
    }
}

fn one_or(mut parts: Vec<Expr>, several: impl FnOnce(Vec<Expr>) -> Expr) -> Expr {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => several(parts),
    }
}

impl Expr {
    /// The expressions directly inside.
    fn parts(&self) -> Vec<&Expr> {
        match self {
            Expr::Number(_) | Expr::Name(_) | Expr::Infinity => Vec::new(),
            Expr::Sum(parts) | Expr::Product(parts) => parts.iter().collect(),
            Expr::Power(a, b) | Expr::Root(a, b) | Expr::Logarithm(a, b) | Expr::Binomial(a, b) => vec![a, b],
            Expr::Negative(x)
            | Expr::Inverse(x)
            | Expr::Call(_, x)
            | Expr::Factorial(x)
            | Expr::Floor(x)
            | Expr::Ceiling(x)
            | Expr::Absolute(x)
            | Expr::Degrees(x)
            | Expr::Percent(x) => vec![x],
        }
    }

    /// Adds the variables to `names`, each once.
    pub(super) fn variables(&self, names: &mut Vec<String>) {
        if let Expr::Name(name) = self
            && !["π", "e", "i"].contains(&name.as_str())
            && !names.contains(name)
        {
            names.push(name.clone());
        }
        self.parts().into_iter().for_each(|part| part.variables(names));
    }

    pub(super) fn is_constant(&self) -> bool {
        let mut names = Vec::new();
        self.variables(&mut names);
        names.is_empty()
    }

    /// The same with variable `from` called `to`.
    pub(super) fn renamed(&self, from: &str, to: &str) -> Expr {
        let again = |x: &Expr| Box::new(x.renamed(from, to));
        let all = |xs: &[Expr]| xs.iter().map(|x| x.renamed(from, to)).collect();
        match self {
            Expr::Name(name) if name == from => Expr::Name(to.to_owned()),
            Expr::Number(_) | Expr::Name(_) | Expr::Infinity => self.clone(),
            Expr::Sum(xs) => Expr::Sum(all(xs)),
            Expr::Product(xs) => Expr::Product(all(xs)),
            Expr::Negative(x) => Expr::Negative(again(x)),
            Expr::Inverse(x) => Expr::Inverse(again(x)),
            Expr::Power(a, b) => Expr::Power(again(a), again(b)),
            Expr::Root(a, b) => Expr::Root(again(a), again(b)),
            Expr::Call(f, x) => Expr::Call(*f, again(x)),
            Expr::Logarithm(a, b) => Expr::Logarithm(again(a), again(b)),
            Expr::Factorial(x) => Expr::Factorial(again(x)),
            Expr::Binomial(a, b) => Expr::Binomial(again(a), again(b)),
            Expr::Floor(x) => Expr::Floor(again(x)),
            Expr::Ceiling(x) => Expr::Ceiling(again(x)),
            Expr::Absolute(x) => Expr::Absolute(again(x)),
            Expr::Degrees(x) => Expr::Degrees(again(x)),
            Expr::Percent(x) => Expr::Percent(again(x)),
        }
    }
}
