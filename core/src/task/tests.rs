use std::collections::HashSet;

use super::*;

const SORT: Sort = Sort { digits: 5 };

fn tasks() -> Vec<Box<dyn Task>> {
    vec![Box::new(SORT), Box::new(Sort { digits: 3 })]
}

#[test]
fn no_family_is_on_both_sides_and_no_problem_comes_twice() {
    for task in tasks() {
        let split = Split::new(&*task, 3, 300, 40).unwrap();
        assert_eq!((split.train.len(), split.held_out.len()), (300, 40));
        let families = |problems: &[Problem]| -> HashSet<String> {
            problems.iter().map(|p| task.family(p).to_owned()).collect()
        };
        assert!(families(&split.train).is_disjoint(&families(&split.held_out)), "{}", task.name());
        let prompts: HashSet<&str> =
            split.train.iter().chain(&split.held_out).map(|p| p.prompt.as_str()).collect();
        assert_eq!(prompts.len(), 340, "{}", task.name());
    }
}

#[test]
fn the_split_is_the_same_for_all_seeds_and_sizes() {
    let (small, large) = (Split::new(&SORT, 1, 50, 50).unwrap(), Split::new(&SORT, 2, 2000, 300).unwrap());
    let held_out: HashSet<&str> = large.held_out.iter().map(|p| SORT.family(p)).collect();
    assert!(small.train.iter().all(|p| !held_out.contains(SORT.family(p))));
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
fn a_task_that_has_too_few_problems_says_so() {
    let error = Split::new(&Sort { digits: 2 }, 0, 100, 10).unwrap_err();
    assert!(error.what.contains("sort") && error.what.contains("110"), "{error}");
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
