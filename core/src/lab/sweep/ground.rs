//! What the settings of a sweep share, and how each is judged.

use std::rc::Rc;

use super::{Cell, Logs, SweepConfig, SweepInputs};
use crate::data::record::{Needs, read_all};
use crate::data::trajectory::{Trajectory, Truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::lab::drawing::Drawing;
use crate::lab::offline::{Figures, Parts, Setting, groups, opinion, verdicts};
use crate::lab::start::{Beginning, as_prompts, as_records, given, too_few, warm_start};
use crate::lab::stats::Interval;
use crate::lab::{LabEvent, Tell};
use crate::model::Model;
use crate::online::{Question, Rewards, questions};
use crate::run::{Dataset, File, Store};
use crate::train::Scored;
use crate::train::tune::Tuned;

/// Completions of each problem that accuracy is measured on.
const SAMPLES: usize = 4;

/// What is measured on: records, and problems where a verifier is there.
pub(super) struct Test {
    pub records: Vec<Trajectory>,
    pub questions: Vec<Question>,
}

/// Everything that settings share.
pub(super) struct Ground {
    pub beginning: Beginning,
    pub train: Vec<Trajectory>,
    pub validation: Test,
    pub held_out: Test,
    pub rewards: Option<Rewards>,
    pub max_new: usize,
    pub positions: usize,
}

pub(super) async fn ground<S: Store>(
    gpu: &Gpu,
    store: &Rc<S>,
    config: &SweepConfig,
    inputs: Option<&SweepInputs>,
    (tuned, tell): (&mut Tuned, &mut Tell<'_>),
) -> Result<Option<Ground>> {
    let seed = config.seed;
    let read = |beginning: &Beginning, file: &File| {
        let encoder = beginning.files.encoder(None, Truncated::Keep)?;
        Dataset::read(std::slice::from_ref(file), &encoder, Needs::Reward, config.skip_invalid)
    };
    match (&config.logs, inputs) {
        (Logs::Task(start), _) => {
            tell(LabEvent::Began { what: "warm start".to_owned(), done: 0, runs: 0 });
            let drawn = start.draw(seed)?;
            let begun = warm_start(gpu, store, "starts/warm", start, &drawn, seed, (tuned, tell)).await?;
            let Some(beginning) = begun else { return Ok(None) };
            let rewards = Rewards::parse(&[format!("task:{}", start.task)], &[])?;
            let max_new = drawn.max_new();
            let records = |name: &str, problems: &[_], seed: u64| {
                let logs = drawn.logs(problems, start.demonstrations, start.wrong, seed);
                Ok::<_, Error>(read(&beginning, &as_records(name, &logs))?.trajectories)
            };
            let asked = |name: &str, problems: &[_]| {
                let (name, bytes) = as_prompts(name, problems);
                let (parsed, _) = read_all(&name, &bytes, Needs::Prompt, false)?;
                let encoder = beginning.files.encoder(None, Truncated::Keep)?;
                let positions = beginning.files.config.max_position_embeddings;
                questions(&encoder, &name, parsed, &rewards, max_new, positions)
            };
            let test = |name: &str, problems: &[_], at: u64| {
                Ok::<_, Error>(Test {
                    records: records(name, problems, seed.wrapping_add(at))?,
                    questions: asked(name, problems)?,
                })
            };
            let train = records("demonstrations", &drawn.train, seed)?;
            let validation = test("validation", &drawn.validation, 1)?;
            let held_out = test("held-out", &drawn.held_out, 2)?;
            let positions = beginning.files.config.max_position_embeddings;
            let rewards = Some(rewards);
            Ok(Some(Ground { beginning, train, validation, held_out, rewards, max_new, positions }))
        }
        (Logs::Given { model, .. }, Some(inputs)) => {
            let beginning = given(model, inputs.model.clone())?;
            let parts = Parts::split(read(&beginning, &inputs.data)?.trajectories, seed);
            let positions = parts.longest();
            let Parts { train, validation, held_out } = parts;
            too_few("records to train on", train.len(), 2)?;
            too_few("validation records", validation.len(), 2)?;
            too_few("held-out records", held_out.len(), 2)?;
            let test = |records| Test { records, questions: Vec::new() };
            let (validation, held_out) = (test(validation), test(held_out));
            Ok(Some(Ground { beginning, train, validation, held_out, rewards: None, max_new: 1, positions }))
        }
        (Logs::Given { .. }, None) => {
            let what = "the model and the records of the sweep are missing".to_owned();
            Err(Error::new(ErrorKind::Config, what, "give them, or a task"))
        }
    }
}

pub(super) async fn judge(
    gpu: &Gpu,
    model: &Model,
    ground: &Ground,
    test: &Test,
    before: &[Scored],
    setting: &Setting,
    seed: u64,
) -> Result<Cell> {
    let now = opinion(gpu, model, &test.records, setting.logit_scale).await?;
    let verdicts = verdicts(&test.records, &now, before, setting);
    let figures = Figures::new(&verdicts, &groups(&test.records), seed);
    let accuracy = accuracy(gpu, model, ground, test, setting.logit_scale, seed).await?;
    Ok(Cell { setting: *setting, figures: Some(figures), accuracy, failed: None })
}

/// The mean reward of completions that the policy draws, with an interval over problems.
pub(super) async fn accuracy(
    gpu: &Gpu,
    model: &Model,
    ground: &Ground,
    test: &Test,
    logit_scale: f64,
    seed: u64,
) -> Result<Option<Interval>> {
    let Some(rewards) = ground.rewards.as_ref().filter(|_| !test.questions.is_empty()) else {
        return Ok(None);
    };
    let drawing = Drawing { samples: SAMPLES, max_new: ground.max_new, temperature: 1.0 / logit_scale, seed };
    let means =
        drawing.means(gpu, model, &ground.beginning.files.tokenizer, rewards, &test.questions).await?;
    Ok(Some(Interval::of(&means)))
}
