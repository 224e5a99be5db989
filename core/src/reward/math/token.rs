//! What answers are made of: LaTeX, plain text and Unicode spell one thing one way.

/// A decimal number as it is written: `digits` without the point, times 10^-`scale`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) digits: String,
    pub(super) scale: i32,
    /// Whether it has a point or an exponent.
    pub(super) decimal: bool,
}

/// The smallest part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Number(Number),
    /// A variable with its accents and subscript.
    Name(String),
    /// Prose: a word of several letters, or what stands in `\text{}`.
    Word(String),
    Function(Function),
    /// `\frac`, `\sqrt` or `\binom`, whose arguments follow.
    Command(Command),
    /// One character; what LaTeX spells with a command stands as its Unicode character. `⦃` and `⦄` are `\{` and
    /// `\}`; `⟦` and `⟧` are a matrix's ends, `⏎` is the end of its row.
    Symbol(char),
    /// `,`, `;`, `and` or `or` between several answers: the character says how strongly it separates.
    Separator(char),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Frac,
    Sqrt,
    Binom,
}

/// Functions of one argument, but for the logarithm's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Log,
    Lg,
    Exp,
}

impl Function {
    pub(super) fn find(name: &str) -> Option<Function> {
        Some(match name {
            "sin" => Function::Sin,
            "cos" => Function::Cos,
            "tan" | "tg" => Function::Tan,
            "cot" | "ctg" => Function::Cot,
            "sec" => Function::Sec,
            "csc" => Function::Csc,
            "arcsin" | "asin" => Function::Asin,
            "arccos" | "acos" => Function::Acos,
            "arctan" | "atan" => Function::Atan,
            "sinh" => Function::Sinh,
            "cosh" => Function::Cosh,
            "tanh" => Function::Tanh,
            "log" | "ln" => Function::Log,
            "lg" => Function::Lg,
            "exp" => Function::Exp,
            _ => return None,
        })
    }

    /// The function that the power -1 turns a trigonometric function into.
    pub(super) fn inverse(self) -> Option<Function> {
        match self {
            Function::Sin => Some(Function::Asin),
            Function::Cos => Some(Function::Acos),
            Function::Tan => Some(Function::Atan),
            _ => None,
        }
    }
}

/// The character of a command that stands for one.
pub(super) fn symbol(command: &str) -> Option<char> {
    Some(match command {
        "cdot" | "times" | "ast" => '*',
        "div" => '/',
        "pm" => '±',
        "mp" => '∓',
        "le" | "leq" | "leqslant" => '≤',
        "ge" | "geq" | "geqslant" => '≥',
        "lt" => '<',
        "gt" => '>',
        "ne" | "neq" => '≠',
        "approx" | "simeq" | "sim" | "doteq" => '≈',
        "in" => '∈',
        "cup" => '∪',
        "infty" => '∞',
        "circ" | "degree" => '°',
        "angle" => '∠',
        "lfloor" => '⌊',
        "rfloor" => '⌋',
        "lceil" => '⌈',
        "rceil" => '⌉',
        "langle" => '⟨',
        "rangle" => '⟩',
        "lbrace" => '⦃',
        "rbrace" => '⦄',
        "lvert" | "rvert" | "vert" | "mid" => '|',
        "colon" => ':',
        _ => return None,
    })
}

/// Letters that have a Unicode spelling too.
pub(super) fn greek(command: &str) -> Option<&'static str> {
    Some(match command {
        "pi" => "π",
        "alpha" => "α",
        "beta" => "β",
        "gamma" => "γ",
        "delta" => "δ",
        "theta" => "θ",
        "lambda" => "λ",
        "mu" => "μ",
        "sigma" => "σ",
        "tau" => "τ",
        "phi" | "varphi" => "φ",
        "omega" => "ω",
        "emptyset" | "varnothing" => "∅",
        "hbar" => "ħ",
        _ => return None,
    })
}
