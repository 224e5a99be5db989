//! Words in answers: units, numbers, and what prose is reduced to before it is compared.

/// What a unit measures, and how many of the dimension's base units it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unit {
    pub(super) dimension: String,
    pub(super) factor: f64,
}

/// Names of a unit, in lower case without a plural s; its dimension; its size.
const UNITS: &[(&[&str], &str, f64)] = &[
    (&["mm", "millimeter", "millimetre"], "length", 1e-3),
    (&["cm", "centimeter", "centimetre"], "length", 1e-2),
    (&["m", "meter", "metre"], "length", 1.0),
    (&["km", "kilometer", "kilometre"], "length", 1e3),
    (&["in", "inch", "inche"], "length", 0.0254),
    (&["ft", "foot", "feet"], "length", 0.3048),
    (&["yd", "yard"], "length", 0.9144),
    (&["mi", "mile"], "length", 1609.344),
    (&["mg", "milligram"], "mass", 1e-6),
    (&["g", "gram"], "mass", 1e-3),
    (&["kg", "kilogram"], "mass", 1.0),
    (&["lb", "lbs", "pound"], "mass", 0.453_592_37),
    (&["oz", "ounce"], "mass", 0.028_349_523_125),
    (&["s", "sec", "second"], "time", 1.0),
    (&["min", "minute"], "time", 60.0),
    (&["h", "hr", "hour"], "time", 3600.0),
    (&["day"], "time", 86400.0),
    (&["week"], "time", 604_800.0),
    (&["ml", "milliliter", "millilitre"], "volume", 1e-3),
    (&["l", "liter", "litre"], "volume", 1.0),
    (&["cent"], "money", 0.01),
    (&["dollar", "usd"], "money", 1.0),
    (&["degree", "deg"], "angle", 1.0),
    (&["mph"], "speed in miles an hour", 1.0),
    (&["km/h", "kmh", "kph"], "speed in kilometres an hour", 1.0),
    (&["m/s"], "speed in metres a second", 1.0),
];

/// The unit that `text` names: a word, its plural, its square or cube.
pub(super) fn unit(text: &str) -> Option<Unit> {
    let lower = text.trim().to_lowercase().replace(" per ", "/").replace(['{', '}', '~'], "");
    let (name, power) = match lower.split_once([' ', '^']) {
        Some(("square" | "sq" | "sq.", name)) => (name.trim(), 2),
        Some(("cubic" | "cu" | "cu.", name)) => (name.trim(), 3),
        Some((name, power)) => (name.trim(), power.trim().parse().ok()?),
        None => (lower.as_str(), 1),
    };
    let name = match name.replace(' ', "").as_str() {
        "mile/hour" | "miles/hour" => "mph",
        "kilometer/hour" | "kilometers/hour" | "km/hr" | "km/hour" => "km/h",
        "meter/second" | "meters/second" | "m/sec" => "m/s",
        _ => name,
    };
    let singular = name.strip_suffix('s').filter(|stem| stem.len() > 2);
    let named = |name: &str| UNITS.iter().find(|(names, ..)| names.contains(&name));
    let (_, dimension, factor) = named(name).or_else(|| singular.and_then(named))?;
    Some(Unit { dimension: format!("{dimension}^{power}"), factor: factor.powi(power) })
}

/// Whether a run of two or more letters is a unit even right after a number.
pub(super) fn is_unit(run: &str) -> bool {
    run.len() > 1 && (unit(run).is_some() || ["percent", "pct", "units", "unit"].contains(&run))
}

/// Whether a run of letters is a word rather than variables side by side: long, with a vowel, of lower-case letters
/// after the first.
pub(super) fn is_word(run: &str) -> bool {
    let lower = run.chars().skip(1).all(char::is_lowercase);
    let count = run.chars().count();
    let short =
        ["is", "no", "yes", "or", "the", "per", "sq", "odd", "not"].contains(&run.to_lowercase().as_str());
    short || (count >= 4 && lower && run.chars().any(|c| "aeiouyAEIOUY".contains(c)))
}

/// The number that an English word says.
pub(super) fn number(word: &str) -> Option<u32> {
    const WORDS: [&str; 21] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    WORDS.iter().position(|w| *w == word).map(|n| n as u32)
}

/// The words of a text in lower case, without LaTeX's commands, punctuation and articles.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' {
            let mut command = String::new();
            while let Some(letter) = chars.peek().filter(|c| c.is_ascii_alphabetic()) {
                command.push(*letter);
                chars.next();
            }
            // A command that only sets type says nothing; another one does.
            let sets_type = command.starts_with("text") || command.starts_with("math") || command == "mbox";
            if !sets_type && !command.is_empty() {
                plain.push_str(&format!(" {command} "));
            }
        } else if c.is_alphanumeric() || "+-=<>/^!%".contains(c) {
            plain.extend(c.to_lowercase());
        } else if c != '\'' {
            plain.push(' ');
        }
    }
    for word in plain.split_whitespace().filter(|word| !["a", "an", "the"].contains(word)) {
        if !out.is_empty() {
            out.push(' ');
        }
        out += word;
    }
    out
}
