use std::collections::HashSet;

use super::*;

const SORT: Sort = Sort { digits: 5 };

fn tasks() -> Vec<Box<dyn Task>> {
    let names = NAMES.iter().flat_map(|name| LEVELS.map(move |level| format!("{name}-{level}")));
    names.map(|name| by_name(&name).unwrap()).collect()
}

#[test]
fn no_family_is_on_both_sides_and_no_problem_comes_twice() {
    for task in tasks() {
        let split = Split::new(&*task, 3, 60, 5).unwrap();
        assert_eq!((split.train.len(), split.held_out.len()), (60, 5));
        let families = |problems: &[Problem]| -> HashSet<String> {
            problems.iter().map(|p| task.family(p).into_owned()).collect()
        };
        assert!(families(&split.train).is_disjoint(&families(&split.held_out)), "{}", task.name());
        let prompts: HashSet<&str> =
            split.train.iter().chain(&split.held_out).map(|p| p.prompt.as_str()).collect();
        assert_eq!(prompts.len(), 65, "{}", task.name());
    }
}

#[test]
fn the_split_is_the_same_for_all_seeds_and_sizes() {
    let (small, large) = (Split::new(&SORT, 1, 50, 50).unwrap(), Split::new(&SORT, 2, 2000, 300).unwrap());
    let held_out: HashSet<_> = large.held_out.iter().map(|p| SORT.family(p)).collect();
    assert!(small.train.iter().all(|p| !held_out.contains(&SORT.family(p))));
}

#[test]
fn a_seed_decides_everything() {
    let draw = |seed| {
        let split = Split::new(&SORT, seed, 20, 10).unwrap();
        let shown = demonstrations(&SORT, &split.train, 2, 0.5, seed);
        (split, shown)
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7).0, draw(8).0);
    assert_ne!(draw(7).1, draw(8).1);
}

#[test]
fn a_task_that_has_too_few_problems_says_how_many() {
    let split = |train| Split::new(&Sort { digits: 2 }, 0, train, 1);
    let what = split(100).unwrap_err().what;
    let words = what.strip_prefix("sort of this level has ").expect("the task");
    let (found, rest) = words.split_once(' ').expect("a number");
    assert_eq!(rest, "problems to train on, where 100 were asked for");
    let found: usize = found.parse().expect("a number");
    assert_eq!(split(found).unwrap().train.len(), found);
    assert!(split(found + 1).is_err());
}

#[test]
fn the_verifier_agrees_with_the_answers_and_refuses_the_mistakes() {
    for task in tasks() {
        let mut random = Random::new(Stream::new(5, 0));
        for _ in 0..500 {
            let problem = task.problem(&mut random);
            assert_eq!(task.reward(&problem, &problem.answer), 1.0);
            let mistake = task.mistake(&problem, &mut random);
            assert_eq!(task.reward(&problem, &mistake), 0.0, "{problem:?}: {mistake}");
            assert_eq!(task.reward(&problem, &format!("{} ", problem.answer)), 0.0);
            assert_eq!(task.reward(&problem, ""), 0.0);
        }
    }
}

#[test]
fn tasks_are_found_by_name_and_level() {
    assert_eq!((by_name("sort").unwrap().name(), by_name("story-4").unwrap().name()), ("sort", "story"));
    for name in ["", "sort-0", "sort-5", "sort-x", "chess-1", "sort-", "-1"] {
        let error = by_name(name).err().unwrap_or_else(|| panic!("{name}"));
        assert!(error.help.contains("countdown-2"), "{error:?}");
    }
    let told: HashSet<String> = tasks().iter().map(|task| task.description()).collect();
    assert_eq!(told.len(), tasks().len(), "levels differ in what they say of themselves");
}

#[test]
fn arithmetic_and_stories_have_the_answers_that_working_them_out_gives() {
    let mut random = Random::new(Stream::new(2, 0));
    for _ in 0..300 {
        for level in LEVELS {
            let problem = Arithmetic { level }.problem(&mut random);
            let (over, under, _) = countdown::evaluate(problem.prompt.trim_end_matches('=')).unwrap();
            assert_eq!((over, under), (problem.answer.parse().unwrap(), 1), "{problem:?}");

            let problem = Story { level }.problem(&mut random);
            let words: Vec<&str> = problem.prompt.split([' ', '.']).filter(|word| !word.is_empty()).collect();
            let mut total = None;
            for pair in words.windows(2) {
                let Ok(number) = pair[1].parse::<i64>() else { continue };
                total = Some(match (total, pair[0]) {
                    (None, _) => number,
                    (Some(total), "has") => total * number,
                    (Some(total), "finds" | "gets") => total + number,
                    (Some(total), _) => total - number,
                });
            }
            assert_eq!(total.map(|n| n.to_string()), Some(problem.answer.clone()), "{problem:?}");
        }
    }
}

#[test]
fn any_expression_that_makes_the_number_is_right() {
    let task = Countdown { level: 3 };
    let problem = Problem { prompt: "2 3 7>13=".into(), answer: "2*3+7".into() };
    for (completion, right) in [
        ("2*3+7", true),
        ("7+3*2", true),
        ("(2*3)+7", true),
        ("7+2*3", true),
        ("2+3+7", false),
        ("13", false),
        ("2*3+7=13", false),
        ("7+7-1", false),
        ("2*3+7+0", false),
        ("2*3+", false),
        ("(2*3+7", false),
        ("2*3+7/(3-3)", false),
        ("-7", false),
        ("", false),
        ("9999999999999999999*2", false),
    ] {
        assert_eq!(task.reward(&problem, completion) == 1.0, right, "{completion}");
    }
    let half = Problem { prompt: "1 2 4 8>5=".into(), answer: String::new() };
    assert_eq!(Countdown { level: 4 }.reward(&half, "8/(2/1)+4"), 0.0);
    assert_eq!(Countdown { level: 4 }.reward(&half, "8/4+2+1"), 1.0);
    assert_eq!(Countdown { level: 4 }.reward(&half, &"(".repeat(10_000)), 0.0);
}

#[test]
fn answers_to_membership_are_balanced_and_true() {
    let mut random = Random::new(Stream::new(4, 0));
    let member = |level, text: &str| match level {
        1 => fancy_regex::Regex::new("^(?!.*aaa)[ab]*$").unwrap().is_match(text).unwrap(),
        2 => fancy_regex::Regex::new("^a*b*a*b*$").unwrap().is_match(text).unwrap(),
        3 => ["a", "b"].iter().all(|letter| text.matches(letter).count().is_multiple_of(2)),
        _ => (text.matches('a').count() + 2 * text.matches('b').count()).is_multiple_of(3),
    };
    for level in LEVELS {
        let problems: Vec<Problem> = (0..400).map(|_| Language { level }.problem(&mut random)).collect();
        for problem in &problems {
            assert_eq!(
                problem.answer == "yes",
                member(level, problem.prompt.trim_end_matches('>')),
                "{problem:?}"
            );
        }
        let yes = problems.iter().filter(|p| p.answer == "yes").count() as f64;
        // Four standard errors of a share of one half.
        assert!((yes - 200.0).abs() <= 40.0, "level {level}: {yes}");
        let problem = Parity { level }.problem(&mut random);
        assert_eq!(problem.answer == "odd", problem.prompt.matches('1').count() % 2 == 1);
    }
}

#[test]
fn answers_are_the_sorted_digits_and_mistakes_two_of_them_swapped() {
    let mut random = Random::new(Stream::new(1, 0));
    for _ in 0..200 {
        let problem = SORT.problem(&mut random);
        let mut digits: Vec<char> = problem.prompt.trim_end_matches('>').chars().collect();
        digits.sort_unstable();
        assert_eq!(problem.answer, digits.iter().collect::<String>());
        let mistake: Vec<char> = SORT.mistake(&problem, &mut random).chars().collect();
        let differ: Vec<usize> = (0..5).filter(|&i| mistake[i] != digits[i]).collect();
        assert!(differ.len() == 2 && differ[1] == differ[0] + 1, "{problem:?}: {mistake:?}");
        assert_eq!((mistake[differ[0]], mistake[differ[1]]), (digits[differ[1]], digits[differ[0]]));
    }
}

#[test]
fn the_share_of_wrong_demonstrations_is_the_one_asked_for() {
    let split = Split::new(&SORT, 0, 1000, 1).unwrap();
    for wrong in [0.0, 0.4, 1.0] {
        let shown = demonstrations(&SORT, &split.train, 4, wrong, 0);
        assert_eq!(shown.len(), 4000);
        let share = shown.iter().filter(|d| d.reward == 0.0).count() as f64 / 4000.0;
        // Four standard errors of a share.
        assert!(
            (share - wrong).abs() <= 4.0 * (wrong * (1.0 - wrong) / 4000.0).sqrt(),
            "{share}, not {wrong}"
        );
    }
}

#[test]
fn a_demonstration_is_a_record() {
    let shown = Demonstration { prompt: "21>".into(), completion: "12".into(), reward: 1.0 };
    let record = crate::data::Record::parse(1, &shown.to_json(), crate::data::Needs::Reward).unwrap();
    assert_eq!((record.prompt.plain(), record.reward), ("21>".into(), Some(1.0)));
    assert_eq!(record.completion.map(|text| text.plain()), Some("12".into()));
}
