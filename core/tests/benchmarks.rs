//! The published benchmarks, read as they are: every gold answer is right when it is given as the answer.
//!
//! The files are large and not this project's, so they lie beside it; without them this says so, and tests nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use tbrm_core::data::record::read_all;
use tbrm_core::data::{Needs, Record};
use tbrm_core::reward::{Math, Reward};

/// Problems in each file.
const FILES: [(&str, usize); 5] = [
    ("math-benchmarks/aime24.jsonl", 30),
    ("math-benchmarks/amc23.jsonl", 40),
    ("math-benchmarks/minerva_math.jsonl", 272),
    ("math-benchmarks/olympiadbench.jsonl", 675),
    ("gsm8k/test.jsonl", 1319),
];

fn records(name: &str) -> Option<Vec<Record>> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        // The harness keeps what is printed by a test that passes.
        let note = format!("NOT TESTED: there is no {}\n", path.display());
        std::io::stderr().write_all(note.as_bytes()).expect("stderr is open");
        return None;
    };
    Some(read_all(name, &bytes, Needs::Prompt, false).expect("every line is a problem").0)
}

fn right(record: &Record, completion: &str) -> bool {
    Math.check(record).expect("it has an answer");
    Math.score(record, completion).expect("any text is judged") == 1.0
}

#[test]
fn gold_answers_are_right_and_others_wrong() {
    for (name, problems) in FILES {
        let Some(records) = records(name) else { continue };
        assert_eq!(records.len(), problems, "{name}");
        let gold = |record: &Record| record.answer_text().expect("it has an answer");
        for record in &records {
            let gold = gold(record);
            for completion in [
                gold.clone(),
                format!("\\boxed{{{gold}}}"),
                format!("Let $n = 12$. Then the answer is\n$$\\boxed{{ {gold} }}$$"),
                format!("It takes 3 steps.\n#### {}", gold.trim()),
            ] {
                assert!(right(record, &completion), "{name}:{}: {completion}", record.line);
            }
            assert!(!right(record, ""), "{name}:{}", record.line);
        }
        // The next problem's answer is seldom this one's.
        let pairs = records.iter().zip(records.iter().cycle().skip(1));
        let alike =
            pairs.filter(|(record, next)| right(record, &format!("\\boxed{{{}}}", gold(next)))).count();
        assert!(
            alike * 10 <= records.len(),
            "{name}: {alike} of {problems} answers are equal to the next one"
        );
    }
}
