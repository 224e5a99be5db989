//! An answer's text as tokens.

use super::token::{Command, Function, Number, Token, greek, symbol};
use super::word;

/// The longest answer that is read as mathematics, in bytes; a longer one is compared as text.
pub(super) const LONGEST: usize = 4000;

/// How a comma between digits is read where it could be both: `1,234`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commas {
    /// Groups of three digits belong together.
    Thousands,
    /// Every comma separates.
    Separate,
}

/// The tokens of an answer, or `None` where it has something that is not mathematics.
pub(super) fn tokens(text: &str, commas: Commas) -> Option<Vec<Token>> {
    if text.len() > LONGEST {
        return None;
    }
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, commas, out: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.next()?;
    }
    Some(lexer.out)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    commas: Commas,
    out: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn digits(&self, from: usize) -> usize {
        self.chars.get(from..).unwrap_or(&[]).iter().take_while(|c| c.is_ascii_digit()).count()
    }

    fn symbol(&mut self, c: char) {
        self.out.push(Token::Symbol(c));
    }

    fn next(&mut self) -> Option<()> {
        let c = self.chars[self.at];
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_some_and(|d| d.is_ascii_digit())) {
            self.number();
            return Some(());
        }
        if c == '\\' {
            return self.command();
        }
        if c.is_alphabetic() {
            self.letters();
            return Some(());
        }
        self.at += 1;
        match c {
            _ if c.is_whitespace() || c == '$' || c == '~' => {}
            ',' | ';' => self.out.push(Token::Separator(c)),
            '_' => {
                let subscript = self.group_text();
                // A digit's subscript is its base.
                match self.out.last_mut()? {
                    Token::Name(name) => *name = format!("{name}_{subscript}"),
                    Token::Number(number) => {
                        let name = format!("{}_{subscript}", number.digits);
                        *self.out.last_mut()? = Token::Name(name);
                    }
                    Token::Function(Function::Log) => {
                        // The base stands as a group before the argument.
                        self.symbol('_');
                        let inner = tokens(&subscript, self.commas)?;
                        self.symbol('{');
                        self.out.extend(inner);
                        self.symbol('}');
                    }
                    _ => return None,
                }
            }
            '\'' | '′' | '’' => self.prime(),
            '*' if self.peek(0) == Some('*') => {
                self.at += 1;
                self.symbol('^');
            }
            '<' | '>' | '!' if self.peek(0) == Some('=') => {
                self.at += 1;
                self.symbol(match c {
                    '<' => '≤',
                    '>' => '≥',
                    _ => '≠',
                });
            }
            '×' | '·' | '⋅' | '∙' => self.symbol('*'),
            '÷' => self.symbol('/'),
            '−' | '–' => self.symbol('-'),
            '⩽' => self.symbol('≤'),
            '⩾' => self.symbol('≥'),
            '√' => self.out.push(Token::Command(Command::Sqrt)),
            '²' | '³' => {
                self.symbol('^');
                let digits = if c == '²' { "2" } else { "3" };
                self.out.push(Token::Number(Number { digits: digits.into(), scale: 0, decimal: false }));
            }
            '+' | '-' | '*' | '/' | '^' | '!' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '&' | ':' | '='
            | '<' | '>' | '%' | '°' | '±' | '∓' | '∪' | '∞' | '≤' | '≥' | '≠' | '≈' | '∈' | '∠' | '⌊'
            | '⌋' | '⌈' | '⌉' => {
                self.symbol(c);
            }
            '€' | '£' | '¥' | '₹' => {}
            _ => return None,
        }
        Some(())
    }

    fn prime(&mut self) {
        match self.out.last_mut() {
            Some(Token::Name(name)) => name.push('\''),
            _ => self.symbol('′'),
        }
    }

    /// Digits, thousands separators, a fraction, an exponent.
    fn number(&mut self) {
        let mut text = String::new();
        let first = self.digits(self.at);
        text.extend(&self.chars[self.at..self.at + first]);
        self.at += first;
        let groupable = (1..=3).contains(&first) && text != "0" && !(first > 1 && text.starts_with('0'));
        while groupable && text.len() < LONGEST {
            // `{,}` and a thin space separate digits only; a comma may separate numbers.
            let skip =
                match self.peek(0) {
                    Some(',') if self.commas == Commas::Thousands => 1,
                    Some('{') if self.peek(1) == Some(',') && self.peek(2) == Some('}') => 3,
                    Some('\\') if matches!(self.peek(1), Some(',' | '!' | ';')) => {
                        if self.peek(2) == Some(',') { 3 } else { 2 }
                    }
                    Some(',') if self.peek(1) == Some('\\') && self.peek(2) == Some('!') => 3,
                    Some(' ') => 1,
                    _ => break,
                };
            let group = self.at + skip;
            if self.digits(group) != 3 || self.chars.get(group + 3) == Some(&'/') {
                break;
            }
            text.extend(&self.chars[group..group + 3]);
            self.at = group + 3;
        }
        let (mut scale, mut decimal) = (0, false);
        if self.peek(0) == Some('.') && !text.is_empty()
            || self.peek(0) == Some('.') && self.digits(self.at + 1) > 0
        {
            let digits = self.digits(self.at + 1);
            // A point that ends a sentence is none of the number's; before an operator it is, as in `-1./3`.
            let ends = digits == 0 && !matches!(self.peek(1), Some('/' | '*' | '^' | ')' | '}' | '+' | '-'));
            if !ends {
                text.extend(&self.chars[self.at + 1..self.at + 1 + digits]);
                self.at += 1 + digits;
                scale = digits as i32;
                decimal = true;
            } else {
                self.at += 1;
            }
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
            let digits = self.digits(self.at + 1 + sign);
            let after = self.chars.get(self.at + 1 + sign + digits);
            if (1..=5).contains(&digits) && !after.is_some_and(|c| c.is_alphabetic()) {
                let power: String =
                    self.chars[self.at + 1 + sign..self.at + 1 + sign + digits].iter().collect();
                let power: i32 = power.parse().unwrap_or(0);
                scale += if self.peek(1) == Some('-') { power } else { -power };
                decimal = true;
                self.at += 1 + sign + digits;
            }
        }
        self.out.push(Token::Number(Number { digits: text, scale, decimal }));
    }

    /// A run of letters: a function, a constant, a word, or variables side by side.
    fn letters(&mut self) {
        let run: String = self.chars[self.at..].iter().take_while(|c| c.is_alphabetic()).collect();
        let attached = self.at > 0 && self.chars[self.at - 1].is_ascii_digit();
        let count = run.chars().count();
        self.at += count;
        let lower = run.to_lowercase();
        if run == "np" || run == "math" {
            if self.peek(0) == Some('.') {
                self.at += 1;
            }
        } else if let Some(function) = Function::find(&run) {
            self.out.push(Token::Function(function));
        } else if run == "sqrt" {
            self.out.push(Token::Command(Command::Sqrt));
        } else if run == "pi" || run == "π" {
            self.out.push(Token::Name("π".into()));
        } else if run == "inf" || lower == "infinity" {
            self.symbol('∞');
        } else if lower == "and" || lower == "or" {
            self.out.push(Token::Separator('&'));
        } else if run == "x" && self.times() {
            self.symbol('*');
        } else if count == 1 {
            self.out.push(Token::Name(run));
        } else if word::is_unit(&run) || (!attached && word::is_word(&run)) {
            self.out.push(Token::Word(run));
        } else {
            self.out.extend(run.chars().map(|c| Token::Name(c.into())));
        }
    }

    /// Whether an `x` between numbers multiplies: `3 x 10^8`.
    fn times(&self) -> bool {
        let after = self.chars[self.at..].iter().take_while(|c| **c == ' ').count();
        after > 0
            && self.chars.get(self.at + after).is_some_and(char::is_ascii_digit)
            && matches!(self.out.last(), Some(Token::Number(_)))
            && self.at >= 2
            && self.chars[self.at - 2] == ' '
    }

    /// The text of the group, command or character that comes next, white space left out.
    fn group_text(&mut self) -> String {
        while self.peek(0).is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        let start = self.at;
        match self.peek(0) {
            Some('{') => {
                let mut depth = 0;
                while let Some(c) = self.peek(0) {
                    self.at += 1;
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    if depth == 0 {
                        let inner = &self.chars[start + 1..self.at - 1];
                        return inner.iter().filter(|c| !c.is_whitespace()).collect();
                    }
                }
                String::new()
            }
            Some('\\') => {
                self.at += 1;
                while self.peek(0).is_some_and(|c| c.is_ascii_alphabetic()) {
                    self.at += 1;
                }
                self.chars[start..self.at].iter().collect()
            }
            Some(c) => {
                self.at += 1;
                c.to_string()
            }
            None => String::new(),
        }
    }

    /// A LaTeX command.
    fn command(&mut self) -> Option<()> {
        self.at += 1;
        let c = self.peek(0)?;
        if !c.is_ascii_alphabetic() {
            self.at += 1;
            match c {
                '{' => self.symbol('⦃'),
                '}' => self.symbol('⦄'),
                '%' => self.symbol('%'),
                '|' => self.symbol('|'),
                '\\' => self.symbol('⏎'),
                // Spaces, and currency.
                ',' | ';' | ':' | '!' | ' ' | '$' | '(' | ')' | '[' | ']' => {}
                _ => return None,
            }
            return Some(());
        }
        let name: String = self.chars[self.at..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
        self.at += name.len();
        if let Some(function) = Function::find(&name) {
            self.out.push(Token::Function(function));
            return Some(());
        }
        match name.as_str() {
            "frac" | "dfrac" | "tfrac" | "cfrac" => self.arguments(Command::Frac),
            "binom" | "dbinom" | "tbinom" => self.arguments(Command::Binom),
            "sqrt" => self.out.push(Token::Command(Command::Sqrt)),
            "text" | "textbf" | "textit" | "textrm" | "textnormal" | "mbox" | "hbox" | "mathrm"
            | "operatorname" | "textsf" | "emph" => self.prose(&name),
            "mathbf" | "mathit" | "mathbb" | "mathcal" | "boldsymbol" | "bm" | "mathsf" | "boxed"
            | "fbox" | "displaystyle" | "textstyle" | "left" | "right" | "limits" | "quad" | "qquad"
            | "bigl" | "bigr" | "big" | "Big" | "Bigl" | "Bigr" | "bigg" | "Bigg" | "biggl" | "biggr"
            | "rm" | "bf" | "nolimits" => {
                // An empty delimiter.
                if (name == "left" || name == "right") && self.peek(0) == Some('.') {
                    self.at += 1;
                }
            }
            "dot" | "ddot" | "hat" | "bar" | "vec" | "overline" | "tilde" | "overrightarrow" | "widehat" => {
                let inner = self.group_text();
                self.out.push(Token::Name(format!("{name} {inner}")));
            }
            "prime" => self.prime(),
            "begin" => {
                let environment = self.group_text();
                if !environment.ends_with("matrix") && environment != "array" && environment != "cases" {
                    return None;
                }
                if environment == "array" && self.peek(0) == Some('{') {
                    self.group_text();
                }
                self.symbol('⟦');
            }
            "end" => {
                self.group_text();
                self.symbol('⟧');
            }
            _ => match symbol(&name) {
                Some(c) => self.symbol(c),
                None => self
                    .out
                    .push(Token::Name(greek(&name).map_or_else(|| format!("\\{name}"), str::to_owned))),
            },
        }
        Some(())
    }

    /// A command of two arguments: digits without braces are one argument each, as in `\frac13`.
    fn arguments(&mut self, command: Command) {
        self.out.push(Token::Command(command));
        for _ in 0..2 {
            while self.peek(0).is_some_and(char::is_whitespace) {
                self.at += 1;
            }
            match self.peek(0).filter(char::is_ascii_digit) {
                Some(digit) => {
                    self.at += 1;
                    let number = Number { digits: digit.into(), scale: 0, decimal: false };
                    self.out.extend([Token::Symbol('{'), Token::Number(number), Token::Symbol('}')]);
                }
                // Only a first argument without braces leaves the second where it can be seen from here.
                None => break,
            }
        }
    }

    /// `\text{}` and its like: words, or one mathematical letter in upright type.
    fn prose(&mut self, command: &str) {
        while self.peek(0).is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        let start = self.at;
        let squeezed = self.group_text();
        let inner: String = self.chars[start..self.at].iter().filter(|c| !"{}~".contains(**c)).collect();
        let inner = inner.trim();
        let lower = inner.trim_matches(|c: char| ",.; ".contains(c)).to_lowercase();
        if let Some(function) = Function::find(&squeezed) {
            self.out.push(Token::Function(function));
        } else if lower == "and" || lower == "or" {
            self.out.push(Token::Separator('&'));
        } else if squeezed.chars().count() == 1
            && (squeezed.chars().all(|c| "ei".contains(c)) || command == "operatorname")
        {
            self.out.push(Token::Name(squeezed));
        } else if !inner.is_empty() {
            let number = inner.chars().all(|c| c.is_ascii_digit() || ".,-/".contains(c));
            match tokens(inner, self.commas).filter(|_| number) {
                Some(inner) => self.out.extend(inner),
                None => self.out.push(Token::Word(inner.to_owned())),
            }
        }
    }
}
