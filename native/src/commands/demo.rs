//! `tbrm demo`: the whole story on a task that is embedded, from random weights to a report.

use serde_json::{Value, json};
use tbrm_core::demo::{Accuracy, Demo, DemoConfig, DemoEvent, Stage};
use tbrm_core::task::Task;
use tbrm_core::train::checkpoint::device_name;
use tbrm_core::{Event, Gpu, Result};

use crate::args::{Common, DemoArgs};
use crate::exit::{Failure, Outcome};
use crate::model_dir::ModelDir;
use crate::progress::{Progress, step_message};
use crate::recorder::Recorder;
use crate::report;
use crate::store::{DirWriter, OpenRun, RunDir, write_file};

pub(super) fn run(args: &DemoArgs, common: &Common) -> Result<Outcome, Failure> {
    let how = if args.overwrite { OpenRun::Overwrite } else { OpenRun::New };
    let run = RunDir::open(&args.out, how)?;
    let gpu = super::open(common)?;
    let config = DemoConfig::new(common.seed);
    let demo = Demo::new(if args.short { config.shortened() } else { config })?;
    let settings = settings(&demo, &gpu);
    write_file(&run.join("config.json"), format!("{settings:#}\n").as_bytes())?;
    let logs: String = demo.logs.iter().map(|shown| shown.to_json() + "\n").collect();
    write_file(&run.join("logs.jsonl"), logs.as_bytes())?;
    if !common.quiet {
        eprintln!("{}", introduction(&demo));
    }
    let model = ModelDir::fresh(&run.join("warm-start"), demo.model.clone(), demo.tokenizer.clone());
    let mut teller = Teller {
        demo: &demo,
        model: &model,
        recorder: Recorder::new(&run, &model, &settings, &demo.config.tbrm, 1, false, None)?,
        quiet: common.quiet,
        stages: Vec::new(),
        progress: None,
    };
    pollster::block_on(demo.run(&gpu, |event| teller.hear(event)))?;
    teller.recorder.report()?;
    let stages = &teller.stages;
    super::print(&if common.json { result(&demo, &run, stages) } else { table(&run, stages) })?;
    Ok(Outcome::Done)
}

/// What came of a stage.
struct Told {
    stage: Stage,
    accuracy: Accuracy,
    seconds: f64,
}

/// Shows the story's events, and writes them into the run directory. The run is TBRM's: the warm start is what it is
/// given, as `train` is given a model.
struct Teller<'a> {
    demo: &'a Demo,
    model: &'a ModelDir,
    recorder: Recorder<'a>,
    quiet: bool,
    stages: Vec<Told>,
    progress: Option<Progress>,
}

impl Teller<'_> {
    fn hear(&mut self, event: DemoEvent) -> Result<()> {
        match event {
            DemoEvent::Train(stage, event) => self.train(stage, event),
            DemoEvent::Accuracy { accuracy, .. } => {
                self.recorder.evaluated(&json!({"eval/accuracy": accuracy.mean}))
            }
            DemoEvent::Done { stage, accuracy, seconds } => {
                self.progress = None;
                self.recorder.stage(report::Stage {
                    name: stage.description().to_owned(),
                    accuracy: accuracy.mean,
                    stderr: accuracy.stderr,
                });
                self.stages.push(Told { stage, accuracy, seconds });
                Ok(())
            }
        }
    }

    fn train(&mut self, stage: Stage, event: Event) -> Result<()> {
        if let Event::Step(metrics) = &event {
            let (name, steps, quiet) = (stage.name(), self.demo.config.of(stage).steps, self.quiet);
            let message = step_message(metrics.loss, metrics.reward, metrics.tokens_per_s);
            self.progress
                .get_or_insert_with(|| Progress::new(name, steps, 0, quiet))
                .update(metrics.step, &message);
        }
        match (stage, event) {
            (Stage::WarmStart, Event::Checkpoint(checkpoint)) => {
                let mut dir = DirWriter::new(&self.model.path)?;
                self.model.write(&checkpoint.model, &mut dir)?;
                dir.publish()
            }
            (Stage::Tbrm, Event::Step(metrics)) => self.recorder.step(&metrics),
            (Stage::Tbrm, Event::Evaluated(evaluation)) => self.recorder.evaluated(&evaluation),
            (Stage::Tbrm, Event::Samples { step, samples }) => self.recorder.samples(step, &samples),
            (Stage::Tbrm, Event::Checkpoint(checkpoint)) => self.recorder.checkpoint(&checkpoint).map(drop),
            _ => Ok(()),
        }
    }
}

fn settings(demo: &Demo, gpu: &Gpu) -> Value {
    json!({
        "objective": demo.config.tbrm.objective,
        "task": demo.task.description(),
        "demo": demo.config,
        "adapter": gpu.info().name,
        "driver": device_name(gpu),
        "tbrm_version": env!("CARGO_PKG_VERSION"),
    })
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

fn table(run: &RunDir, stages: &[Told]) -> String {
    let mut text = format!("{:<52} {:>17} {:>9}\n", "after", "held-out accuracy", "training");
    for Told { stage, accuracy, seconds } in stages {
        let (mean, stderr) = (100.0 * accuracy.mean, 100.0 * accuracy.stderr);
        let name = stage.description();
        text.push_str(&format!(
            "{name:<52} {:>17} {:>9}\n",
            format!("{mean:.1}% ± {stderr:.1}"),
            format!("{seconds:.1} s")
        ));
    }
    let report = run.join("report.html");
    text + &format!("report in {}, model in {}\n", report.display(), run.join("model").display())
}

fn result(demo: &Demo, run: &RunDir, stages: &[Told]) -> String {
    let stages: Vec<Value> = stages
        .iter()
        .map(|Told { stage, accuracy, seconds }| {
            json!({
                "name": stage.name(),
                "accuracy": accuracy.mean,
                "stderr": accuracy.stderr,
                "seconds": seconds,
            })
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
