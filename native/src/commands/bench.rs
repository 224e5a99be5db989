//! `tbrm bench`: tokens a second of one optimizer step.

use serde_json::json;
use tbrm_core::train::Estimate;
use tbrm_core::train::bench::{Weights, workload};
use tbrm_core::train::checkpoint::device_name;
use tbrm_core::{Event, Trainer};

use crate::args::{BenchArgs, BenchWeights, Common};
use crate::exit::{Failure, Outcome};

/// Steps before the measured ones: the first compiles kernels.
const WARM_UP: usize = 2;

pub(super) fn run(args: &BenchArgs, common: &Common) -> Result<Outcome, Failure> {
    let gpu = super::open(common)?;
    let preset = args.preset.find()?;
    let weights = match args.weights {
        BenchWeights::Random => Weights::Random(common.seed),
        BenchWeights::Hash => Weights::Hash,
    };
    let steps = (args.steps + WARM_UP) as u64;
    let objective = args.objective.into();
    let rehearsal = gpu.rehearse();
    let (config, start) = workload(&rehearsal, &preset, objective, weights, steps)?;
    let params = start.model.config.param_count();
    let estimate = Estimate::of_run(&gpu, &config, &start.model.config, preset.tokens, &start.data)?;
    let (config, start) = workload(&gpu, &preset, objective, weights, steps)?;
    let mut trainer = Trainer::new(&gpu, &config, start)?;
    let (mut losses, mut times) = (Vec::new(), Vec::new());
    while losses.len() < steps as usize {
        if args.profile.is_some() && losses.len() == WARM_UP {
            trainer.start_profile();
        }
        match pollster::block_on(trainer.next())? {
            Some(Event::Step(metrics)) => {
                losses.push(metrics.loss);
                times.push(metrics.step_time);
            }
            Some(_) => {}
            None => break,
        }
    }
    if let (Some(file), Some(profile)) = (&args.profile, trainer.take_profile()) {
        super::write_profile(&profile, file.as_deref())?;
    }
    let mut measured = times.split_off(WARM_UP);
    measured.sort_by(f64::total_cmp);
    let seconds = measured[measured.len() / 2];
    let tokens_per_s = (preset.tokens * preset.sequences) as f64 / seconds;
    if common.json {
        let result = json!({
            "preset": preset.name,
            "device": gpu.info().name,
            "driver": device_name(&gpu),
            "dtype": "f32",
            "tokens_per_s": tokens_per_s,
            "step_ms": seconds * 1e3,
            "first_step_ms": times[0] * 1e3,
            "peak_bytes": estimate.total_bytes,
            "params": params,
            "losses": losses,
        });
        println!("{result}");
    } else {
        println!("{} on {}", preset.name, device_name(&gpu));
        println!("{tokens_per_s:.0} tokens/s, {:.1} ms a step (median of {})", seconds * 1e3, args.steps);
        println!("{params} parameters, {:.1} MiB planned", estimate.total_bytes as f64 / f64::from(1 << 20));
        let losses: Vec<String> = losses.iter().map(|loss| format!("{loss:.4}")).collect();
        println!("losses {}", losses.join(" "));
    }
    Ok(Outcome::Done)
}
