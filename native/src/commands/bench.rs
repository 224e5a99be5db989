//! `tbrm bench`: tokens a second of one optimizer step.

use pollster::block_on;
use tbrm_core::Gpu;
use tbrm_core::gpu::Profile;
use tbrm_core::model::Preset;
use tbrm_core::rollout::bench::{Work, measure};
use tbrm_core::train::bench::{Bench, Report, Weights};

use crate::args::{BenchArgs, BenchWeights, BenchWork, Common};
use crate::exit::{Failure, Outcome};
use crate::progress::Progress;

pub(super) fn run(args: &BenchArgs, common: &Common) -> Result<Outcome, Failure> {
    let gpu = super::open(common)?;
    let preset = args.preset.find()?;
    let weights = match args.weights {
        BenchWeights::Random => Weights::Random(common.seed),
        BenchWeights::Hash => Weights::Hash,
    };
    if args.work == BenchWork::Rollouts {
        return rollouts(args, common, &gpu, preset, weights);
    }
    let mut bench = Bench::new(&gpu, &preset, args.objective.into(), weights, args.steps as u64)?;
    loop {
        if args.profile.is_some() && bench.is_warm() {
            bench.trainer().start_profile();
        }
        if block_on(bench.next())?.is_none() {
            break;
        }
    }
    if let (Some(file), Some(profile)) = (&args.profile, bench.trainer().take_profile()) {
        super::write_profile(&profile, file.as_deref())?;
    }
    let report = bench.report()?;
    if common.json {
        println!("{}", serde_json::to_string(&report).expect("numbers and text are JSON"));
    } else {
        print(&report, args.steps);
    }
    Ok(Outcome::Done)
}

fn rollouts(
    args: &BenchArgs,
    common: &Common,
    gpu: &Gpu,
    preset: Preset,
    weights: Weights,
) -> Result<Outcome, Failure> {
    let (batch, temperature) = (args.batch, args.temperature as f32);
    let work = Work { preset, weights, batch, temperature, times: args.steps };
    let mut progress = Progress::new("bench", args.steps as u64, 0, common.quiet);
    let mut profile = args.profile.as_ref().map(|_| Profile::default());
    let told = |done| progress.update(done as u64, "times");
    let report = block_on(measure(gpu, &work, profile.as_mut(), told))?;
    drop(progress);
    if let (Some(file), Some(profile)) = (&args.profile, &profile) {
        super::write_profile(profile, file.as_deref())?;
    }
    super::print(&if common.json {
        format!("{}\n", serde_json::to_string(&report).expect("numbers and text are JSON"))
    } else {
        format!(
            "{} on {}\n{:.0} tokens/s: {batch} sequences at a time, {} new tokens each after {}; {:.3} ms a step of {} dispatches (median of {})\n",
            report.preset,
            report.driver,
            report.tokens_per_s,
            report.new_tokens,
            report.prompt_tokens,
            report.ms_per_token,
            report.dispatches,
            args.steps
        )
    })?;
    Ok(Outcome::Done)
}

fn print(report: &Report, steps: usize) {
    println!("{} on {}", report.preset, report.driver);
    println!("{:.0} tokens/s, {:.1} ms a step (median of {steps})", report.tokens_per_s, report.step_ms);
    println!(
        "{} parameters, {:.1} MiB planned",
        report.params,
        report.peak_bytes as f64 / f64::from(1 << 20)
    );
    let losses: Vec<String> = report.losses.iter().map(|loss| format!("{loss:.4}")).collect();
    println!("losses {}", losses.join(" "));
}
