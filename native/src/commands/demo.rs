//! `tbrm demo`: the whole story on a task that is embedded, from random weights to a report.

use pollster::block_on;
use serde_json::{Value, json};
use tbrm_core::demo::{
    Accuracy, Demo, DemoConfig, DemoEvent, DemoRun, Outcome as Told, Stage, outcomes, saved,
};
use tbrm_core::run::Event;
use tbrm_core::task::Task;
use tbrm_core::{Error, ErrorKind};

use crate::args::{Common, DemoArgs};
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::progress::{Progress, step_message};
use crate::store::RunDir;
use crate::tuning;

pub(super) fn run(args: &DemoArgs, common: &Common) -> Result<Outcome, Failure> {
    let how = args.earlier.open(&args.out);
    let run = RunDir::open(&args.out, how)?;
    let gpu = super::open(common)?;
    let config = DemoConfig::new(common.seed);
    let demo = Demo::new(if args.short { config.shortened() } else { config })?;
    let earlier = block_on(saved(&run))?;
    if let Some((earlier, _)) = &earlier {
        same_story(earlier, &demo.config)?;
    }
    if !common.quiet {
        eprintln!("{}", introduction(&demo));
    }
    let resumed = earlier.is_some();
    let told = if resumed { block_on(outcomes(&run))? } else { Vec::new() };
    if measured(&told).count() == Stage::ALL.len() {
        return report(&demo, &run, &told, common);
    }
    interrupt::watch()?;
    let story = match resumed {
        true => block_on(DemoRun::resume(&gpu, run))?,
        false => {
            let model = demo.fresh_model(&gpu)?;
            let variants = tuning::variants(&gpu, &demo.config.tbrm, &model, demo.data())?;
            Some(block_on(DemoRun::start(&gpu, run, demo, Some(variants)))?)
        }
    };
    let mut story = story.expect("its last stage is not over");
    if tell(&mut story, common)? {
        return report(story.demo(), story.store(), story.outcomes(), common);
    }
    let place = story.store().path().display();
    Ok(Outcome::Interrupted {
        resume: format!("saved in {place}; go on with: {}", interrupt::resume_command()),
    })
}

/// Another seed is another story.
fn same_story(earlier: &DemoConfig, now: &DemoConfig) -> Result<(), Error> {
    if earlier == now {
        return Ok(());
    }
    let what = if earlier.seed == now.seed {
        "the run to resume tells another story: of another length, or another version's".to_owned()
    } else {
        format!("`seed` is {} in the run to resume, and {} now", earlier.seed, now.seed)
    };
    Err(Error::new(ErrorKind::Checkpoint, what, "give the same settings, or start again"))
}

/// Shows event after event; whether the story came to its end.
fn tell(story: &mut DemoRun<RunDir>, common: &Common) -> Result<bool, Failure> {
    let mut progress: Option<Progress> = None;
    let mut before = 0;
    loop {
        if interrupt::asked() {
            story.stop();
        }
        match block_on(story.next())? {
            Some(DemoEvent::Stage { done, .. }) => before = done,
            Some(DemoEvent::Train { stage, event: Event::Step { metrics } }) => {
                let steps = story.demo().config.of(stage).steps;
                let message = step_message(metrics.loss, metrics.reward, metrics.tokens_per_s);
                progress
                    .get_or_insert_with(|| Progress::new(stage.name(), steps, before, common.quiet))
                    .update(metrics.step, &message);
            }
            Some(DemoEvent::Train { .. } | DemoEvent::Accuracy { .. }) => {}
            Some(DemoEvent::Trained { .. }) => progress = None,
            Some(DemoEvent::Done { complete }) => return Ok(complete),
            None => return Ok(false),
        }
    }
}

fn introduction(demo: &Demo) -> String {
    let config = &demo.config;
    format!(
        "task     {}\nlogs     {} demonstrations of {} problems, {:.0}% of them wrong, each with its reward, 1 or 0\n\
         model    {} parameters, from random weights\ntest     {} problems held out, none with the digits of a \
         training problem; {} samples each at temperature 1",
        demo.task.description(),
        demo.logs.len(),
        config.problems,
        100.0 * config.wrong,
        demo.model.param_count(),
        config.held_out,
        config.samples,
    )
}

fn report(demo: &Demo, run: &RunDir, told: &[Told], common: &Common) -> Result<Outcome, Failure> {
    super::print(&if common.json { result(demo, run, told) } else { table(run, told) })?;
    Ok(Outcome::Done)
}

fn table(run: &RunDir, told: &[Told]) -> String {
    let mut text = format!("{:<52} {:>17} {:>9}\n", "after", "held-out accuracy", "training");
    for (Told { stage, seconds, .. }, Accuracy { mean, stderr }) in measured(told) {
        let name = stage.description();
        text.push_str(&format!(
            "{name:<52} {:>17} {:>9}\n",
            format!("{:.1}% ± {:.1}", 100.0 * mean, 100.0 * stderr),
            format!("{seconds:.1} s")
        ));
    }
    let report = run.join("report.html");
    text + &format!("report in {}, model in {}\n", report.display(), run.join("model").display())
}

fn result(demo: &Demo, run: &RunDir, told: &[Told]) -> String {
    let stages: Vec<Value> = measured(told)
        .map(|(Told { stage, seconds, .. }, Accuracy { mean, stderr })| {
            json!({"name": stage.name(), "accuracy": mean, "stderr": stderr, "seconds": seconds})
        })
        .collect();
    let Demo { config, task, .. } = demo;
    let result = json!({
        "stages": stages,
        "seed": config.seed,
        "task": task.name(),
        "wrong": config.wrong,
        "held_out": config.held_out,
        "samples": config.samples,
        "run": run.path(),
    });
    format!("{result}\n")
}

/// The stages that are over.
fn measured(told: &[Told]) -> impl Iterator<Item = (&Told, Accuracy)> {
    told.iter().filter_map(|told| Some((told, told.accuracy?)))
}
