//! `tbrm demo`: the whole story on a task that is embedded, from random weights to a report.

use serde_json::{Value, json};
use tbrm_core::data::tokenizer::TokenizerConfig;
use tbrm_core::demo::{Accuracy, Demo, DemoConfig, DemoEvent, Stage};
use tbrm_core::task::Task;
use tbrm_core::train::Sample;
use tbrm_core::train::checkpoint::device_name;
use tbrm_core::{Event, Gpu, Result};

use crate::args::{Common, DemoArgs};
use crate::exit::{Failure, Outcome};
use crate::progress::{Progress, step_message};
use crate::report::{self, Report};
use crate::store::{DirWriter, JsonLines, OpenRun, RunDir, write_file};

pub(super) fn run(args: &DemoArgs, common: &Common) -> Result<Outcome, Failure> {
    let how = if args.overwrite { OpenRun::Overwrite } else { OpenRun::New };
    let run = RunDir::open(&args.out, how)?;
    let gpu = super::open(common)?;
    let config = DemoConfig::new(common.seed);
    let demo = Demo::new(if args.short { config.shortened() } else { config })?;
    let mut teller = Teller::new(&demo, &run, &gpu, common.quiet || common.json)?;
    if !common.quiet {
        eprintln!("{}", introduction(&demo));
    }
    pollster::block_on(demo.run(&gpu, |event| teller.hear(event)))?;
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

/// Shows the story's events, and writes them into the run directory.
struct Teller<'a> {
    demo: &'a Demo,
    run: &'a RunDir,
    quiet: bool,
    settings: Value,
    metrics: JsonLines,
    lines: Vec<Value>,
    samples: Vec<report::Sample>,
    stages: Vec<Told>,
    progress: Option<Progress>,
}

impl<'a> Teller<'a> {
    fn new(demo: &'a Demo, run: &'a RunDir, gpu: &Gpu, quiet: bool) -> Result<Teller<'a>> {
        let settings = json!({
            "objective": demo.config.tbrm.objective,
            "task": demo.task.name(),
            "demo": demo.config,
            "adapter": gpu.info().name,
            "driver": device_name(gpu),
            "tbrm_version": env!("CARGO_PKG_VERSION"),
        });
        write_file(&run.join("config.json"), format!("{settings:#}\n").as_bytes())?;
        let logs: String = demo.logs.iter().map(|shown| shown.to_json() + "\n").collect();
        write_file(&run.join("logs.jsonl"), logs.as_bytes())?;
        Ok(Teller {
            demo,
            run,
            quiet,
            settings,
            metrics: JsonLines::open(run.join("metrics.jsonl"), None)?,
            lines: Vec::new(),
            samples: Vec::new(),
            stages: Vec::new(),
            progress: None,
        })
    }

    fn hear(&mut self, event: DemoEvent) -> Result<()> {
        match event {
            DemoEvent::Train(stage, event) => self.train(stage, event),
            DemoEvent::Accuracy { accuracy, .. } => {
                self.extend_line(&json!({"eval/accuracy": accuracy.mean}));
                Ok(())
            }
            DemoEvent::Done { stage, accuracy, seconds } => {
                self.progress = None;
                self.stages.push(Told { stage, accuracy, seconds });
                if stage == Stage::Tbrm { self.finish() } else { Ok(()) }
            }
        }
    }

    fn train(&mut self, stage: Stage, event: Event) -> Result<()> {
        match event {
            Event::Step(metrics) => {
                let config = self.demo.config.of(stage);
                let (name, quiet) = (stage.name(), self.quiet);
                let message = step_message(metrics.loss, metrics.reward, metrics.tokens_per_s);
                self.progress
                    .get_or_insert_with(|| Progress::new(name, config.steps, 0, quiet))
                    .update(metrics.step, &message);
                // The run is TBRM's: the warm start is what it is given, as `train` is given a model.
                if stage == Stage::Tbrm {
                    self.lines.push(json!(metrics));
                }
            }
            Event::Evaluated(evaluation) => self.extend_line(&json!(evaluation)),
            Event::Samples { step, samples } if stage == Stage::Tbrm => self.samples(step, &samples)?,
            Event::Checkpoint(checkpoint) if checkpoint.last => {
                let name = if stage == Stage::Tbrm { "model" } else { "warm-start" };
                self.model(name, &checkpoint.model)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds an evaluation to the line of the step after which it was made.
    fn extend_line(&mut self, values: &Value) {
        let (Some(line), Some(values)) = (self.lines.last_mut(), values.as_object()) else { return };
        for (key, value) in values.iter().filter(|(key, _)| key.starts_with("eval/")) {
            line[key] = value.clone();
        }
    }

    fn samples(&mut self, step: u64, samples: &[Sample]) -> Result<()> {
        let readable = samples.iter().map(|s| report::Sample::new(&self.demo.tokenizer, step, s));
        self.samples = readable.collect::<Result<_>>()?;
        let text: String = self.samples.iter().map(|sample| json!(sample).to_string() + "\n").collect();
        self.run.write_completions(step, text.as_bytes())
    }

    fn model(&self, name: &str, weights: &[u8]) -> Result<()> {
        let Demo { model, tokenizer, .. } = self.demo;
        let mut dir = DirWriter::new(self.run.join(name))?;
        dir.write("config.json", model.to_json().as_bytes())?;
        dir.write("tokenizer.json", tokenizer.json())?;
        dir.write(
            "tokenizer_config.json",
            TokenizerConfig::fresh_json(model.max_position_embeddings).as_bytes(),
        )?;
        dir.write("model.safetensors", weights)?;
        dir.publish()
    }

    fn finish(&mut self) -> Result<()> {
        self.lines.iter().try_for_each(|line| self.metrics.append(line))?;
        self.metrics.sync()?;
        let stages: Vec<report::Stage> = self
            .stages
            .iter()
            .map(|told| report::Stage {
                name: told.stage.description().to_owned(),
                accuracy: told.accuracy.mean,
                stderr: told.accuracy.stderr,
            })
            .collect();
        let title = format!("tbrm demo: {}", self.demo.task.description());
        let report = Report {
            title: &title,
            settings: &self.settings,
            metrics: &self.lines,
            stages: &stages,
            samples: &self.samples,
        };
        write_file(&self.run.join("report.html"), report::render(&report).as_bytes())
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
