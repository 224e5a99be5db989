//! The table of docs/rewards.md is the test: each of its rows is judged.

use super::extract::{self, Found};
use super::judge::vote;
use super::{equivalent, is_right};
use crate::rng::Stream;

const DOCS: &str = include_str!("../../../../docs/rewards.md");

/// Gold answer, answer, and whether they are equal, of every row.
fn table() -> Vec<(String, String, bool)> {
    let row = |line: &'static str| {
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, gold, answer, verdict @ ("yes" | "no"), ..] = cells.as_slice() else { return None };
        let code = |cell: &str| cell.trim_matches('`').replace('\u{1}', "|");
        Some((code(gold), code(answer), *verdict == "yes"))
    };
    DOCS.lines().filter_map(row).collect()
}

#[test]
fn every_case_of_the_documentation_is_judged_as_it_says() {
    let table = table();
    let equal = table.iter().filter(|(.., equal)| *equal).count();
    assert!(equal >= 150 && table.len() - equal >= 60, "{equal} of {}", table.len());
    let wrong: Vec<_> =
        table.iter().filter(|(gold, answer, equal)| equivalent(gold, answer, None) != *equal).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_box_or_a_sentence_around_an_answer_changes_nothing() {
    for (gold, answer, equal) in table() {
        let boxed = format!("We add 17 and 4.\nThus \\[ \\boxed{{{answer}}}. \\] Done in 3 steps.");
        assert_eq!(is_right(&gold, &boxed, None), equal, "{gold}: {boxed}");
    }
}

#[test]
fn the_final_answer_is_found_in_the_stated_order() {
    for (text, want) in [
        ("\\boxed{1} then \\boxed{2}", Found::Marked("2")),
        ("\\boxed{\\frac{1}{2}} #### 3", Found::Marked("\\frac{1}{2}")),
        ("\\boxed {7}", Found::Marked("7")),
        ("\\fbox{x+1}", Found::Marked("x+1")),
        // Cut off within a box: the last whole one counts.
        ("\\boxed{4} and then \\boxed{5", Found::Marked("4")),
        ("\\boxed{\\{1, 2\\}}", Found::Marked("\\{1, 2\\}")),
        ("\\boxed{1}, \\boxed{2} and $\\boxed{3}$", Found::Marked("\\boxed{1}, \\boxed{2} and $\\boxed{3}")),
        ("The answer is 5.\n#### 6\nor so", Found::Marked("6")),
        ("#### 6\n#### 7", Found::Marked("7")),
        ("The answer is 5. I hope it is correct.", Found::Said("5")),
        ("Final Answer: The final answer is $\\frac{1}{2}$. I hope", Found::Said("$\\frac{1}{2}$")),
        ("**Answer:** 12 apples", Found::Said("12 apples")),
        ("The answer is:\n\\[ x^2 \\]\nas wanted", Found::Said("x^2")),
        ("the answer is 3, no: the answer is 4", Found::Said("4")),
        ("3 + 4 = 7\nA: 7", Found::Said("7")),
        ("we get 3/4 of it", Found::Last("3/4")),
        ("so $x = 5$ and done", Found::Last("$x = 5$")),
        ("so $x = 5$, or 6", Found::Last("6")),
        ("that costs $18", Found::Last("18")),
        ("it grows by 10%", Found::Last("10%")),
        ("down to -3", Found::Last("-3")),
    ] {
        assert_eq!(extract::answer(text), Some(want), "{text}");
    }
    for text in ["", "no idea", "\\boxed{}", "####", "\\boxed{5"] {
        let found = extract::answer(text);
        assert!(!matches!(found, Some(Found::Marked(_) | Found::Said(_))), "{text}: {found:?}");
    }
}

#[test]
fn whole_completions_are_judged() {
    for (gold, completion, right) in [
        ("She sold 48/2 = 24.\n#### 72", "48 + 24 = <<48+24=72>>72\n#### 72", true),
        ("She sold 48/2 = 24.\n#### 72", "48 + 24 = 72 clips.", true),
        ("72", "48 + 24 = 72 clips in all, not 70", false),
        ("$\\boxed{1.6} \\mathrm{~cm}$", "The image is \\boxed{1.6} wide", true),
        ("1,-2", "\\(\\boxed{1}\\) and \\(\\boxed{-2}\\).", true),
        ("18", "The answer is 18 dollars per day, since she sells 9 eggs.", true),
        ("9", "The answer is 18 dollars per day, since she sells 9 eggs.", false),
        ("18", "The answer is $18 per day.", true),
        ("18", "The answer is clearly equal to 18", true),
        ("B", "So the answer is (B).", true),
        ("B", "B", true),
        ("\\text{Evelyn}", "So the answer is Evelyn.", true),
        ("2x+1", "f(x) = 2x + 1", true),
        ("\\frac{1}{2}", "Thus, we get $\\frac{3}{6}$.", true),
        ("5", "\\boxed{4} but 5", false),
        ("5", "\\boxed{}5", true),
        ("5", "", false),
        ("12\\text{ and }13", "between $\\boxed{12\\text{ and }13}$", true),
        ("4.2", "\\boxed{4.25}", false),
    ] {
        assert_eq!(is_right(gold, completion, None), right, "{gold}: {completion}");
    }
    assert!(is_right("4.2", "\\boxed{4.25}", Some(0.1)) && !is_right("4.2", "\\boxed{4.35}", Some(0.1)));
}

#[test]
fn equal_answers_vote_alike() {
    for (a, b) in [
        ("\\boxed{\\frac12}", "the answer is 0.5"),
        ("\\boxed{2, 1}", "#### 1 and 2"),
        ("\\boxed{(x+1)^2}", "\\boxed{x^2+2x+1}"),
        ("\\boxed{x = 3}", "\\boxed{3}"),
        ("\\boxed{B}", "The answer is (B) 12."),
        ("\\boxed{1,234}", "it is 1234"),
        ("\\boxed{\\text{Evelyn}}", "The answer is evelyn"),
        ("\\boxed{2\\sqrt{3}}", "\\boxed{\\sqrt{12}}"),
    ] {
        assert!(vote(a).is_some() && vote(a) == vote(b), "{a}: {:?}; {b}: {:?}", vote(a), vote(b));
    }
    for (a, b) in [
        ("\\boxed{2}", "\\boxed{-2}"),
        ("\\boxed{(1,2)}", "\\boxed{(2,1)}"),
        ("\\boxed{x}", "\\boxed{y}"),
        ("\\boxed{10^{400}}", "\\boxed{10^{401}}"),
    ] {
        assert_ne!(vote(a), vote(b), "{a}, {b}");
    }
    assert_eq!(vote(""), None);
}

/// Text that is made to hurt: nested, unbalanced, endless, of other alphabets.
fn hostile(stream: Stream) -> String {
    const PIECES: [&str; 64] = [
        "1",
        "2",
        "37",
        "0",
        ".",
        ",",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "\\{",
        "\\}",
        "|",
        "^",
        "_",
        "-",
        "+",
        "*",
        "/",
        "!",
        "%",
        "=",
        "<",
        "\\le",
        "\\cup",
        ":",
        ";",
        "$",
        "\\frac",
        "\\sqrt",
        "\\binom",
        "\\boxed{",
        "####",
        "x",
        "n",
        "e",
        "\\pi",
        "i",
        "\\sin",
        "\\log_",
        "\\text{",
        "cm",
        " and ",
        "\\pm",
        "\\infty",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "&",
        "\\\\",
        "\\",
        "é",
        "漢",
        "\u{1F600}",
        "\u{0}",
        "999999999999999999999",
        "e99999",
        "answer is",
        "A:",
        "\\lfloor",
        "\\circ",
        "'",
        "\\in",
    ];
    let length = stream.below(0, 40) as usize;
    let mut out = String::new();
    for k in 0..length as u64 {
        let piece = PIECES[stream.below(1 + 2 * k, PIECES.len() as u64) as usize];
        // Now and then the same again and again.
        let times = if stream.below(2 + 2 * k, 30) == 0 { 500 } else { 1 };
        out.push_str(&piece.repeat(times));
    }
    out
}

/// One character of `text` replaced, left out or doubled.
fn mutated(text: &str, stream: Stream) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for k in 0..3 {
        if chars.is_empty() {
            break;
        }
        let at = stream.below(10 * k, chars.len() as u64) as usize;
        match stream.below(10 * k + 1, 3) {
            0 => chars[at] = char::from(32 + stream.below(10 * k + 2, 95) as u8),
            1 => drop(chars.remove(at)),
            _ => chars.insert(at, chars[at]),
        }
    }
    chars.into_iter().collect()
}

/// Nothing that a model can write stops the judge; an answer that is not empty is equal to itself.
#[test]
fn hostile_text_is_judged() {
    let table = table();
    for seed in 0..3000 {
        let stream = Stream::new(11, seed);
        let text = hostile(stream);
        let (gold, answer, _) = &table[seed as usize % table.len()];
        let other = mutated(answer, stream);
        for (gold, completion) in [(gold.as_str(), &text), (text.as_str(), &other), (gold.as_str(), &other)] {
            is_right(gold, completion, None);
            vote(completion);
        }
        let trimmed = extract::trimmed(&text);
        assert_eq!(equivalent(&text, &text, None), !trimmed.is_empty(), "{text:?}");
    }
}

#[test]
fn what_is_nested_or_large_without_end_is_judged() {
    for text in [
        "(".repeat(100_000),
        "\\sqrt{".repeat(600),
        format!("{}1{}", "\\frac{1}{".repeat(300), "}".repeat(300)),
        "-".repeat(3000) + "1",
        "2^".repeat(1500) + "2",
        "3!".to_owned() + &"!".repeat(50),
        "((((3000!)!)!)!)!".to_owned(),
        "10^{10^{10^{10}}}".to_owned(),
        "9".repeat(3900),
        format!("1e{}", "9".repeat(50)),
        "(3000!)".repeat(500),
        "\\binom{3000}{1500}+".repeat(150) + "1",
        "x!+".repeat(1000) + "x",
        "1,".repeat(1900) + "1",
        "\\pm 1".repeat(500),
        "|".repeat(3000),
        "\\boxed{".repeat(50_000),
        "#### ".repeat(50_000),
        "answer is ".repeat(50_000),
        "$".repeat(100_000),
        "1/".repeat(50_000),
    ] {
        for gold in ["5", "x", "1, 2, 3", "\\frac{1}{2004!}", &text] {
            is_right(gold, &text, None);
            is_right(&text, gold, None);
        }
        vote(&text);
    }
}
