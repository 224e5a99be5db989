use tbrm_core::gpu::Gpu;
use tbrm_core::gpu::kernels::objective::{
    ObjectiveBrm, ObjectiveParams, ObjectiveSft, ObjectiveStep, ObjectiveSums, ObjectiveTbrm, Variant,
};
use tbrm_core::ops::Variants;
use tbrm_core::reference::head::Stats;
use tbrm_core::reference::objective::{Objective, Records, Settings, evaluate, weight_sum};
use tbrm_testing::gpu_test;

use crate::harness::{Bench, EPS, Within, close, gpu, random, wide};

/// Trajectories of the given lengths, and one empty one behind them: padding, of no weight.
pub(crate) fn check(gpu: &Gpu, objective: Objective, lengths: &[u32], calibrate: bool) {
    let what = |pass: &str| format!("objective {objective:?} {lengths:?} calibrate {calibrate} {pass}");
    let count = lengths.len();
    let mut traj_start = vec![0];
    lengths.iter().for_each(|length| traj_start.push(traj_start[traj_start.len() - 1] + length));
    let rows = traj_start[count] as usize;
    let scaled = |stream, by: f32| random(stream, rows).into_iter().map(move |x| x * by).collect::<Vec<_>>();
    let (lse, chosen, ref_logp, entropy) = (scaled(1, 5.0), scaled(2, 5.0), scaled(3, 2.0), scaled(4, 1.0));
    let (reward, ref_v1) = (random(5, count), random(6, count));
    let weight: Vec<f32> = random(7, count).iter().map(|w| w + 1.5).collect();
    let (beta, kappa) = (0.125f32, 0.5f32);

    let stats = Stats { lse: wide(&lse), chosen: wide(&chosen), entropy: wide(&entropy) };
    let records = Records {
        ref_logp: wide(&ref_logp),
        ref_v1: wide(&ref_v1),
        reward: wide(&reward),
        weight: wide(&weight),
    };
    let settings = Settings {
        objective,
        beta: f64::from(beta),
        logit_scale: f64::from(kappa),
        calibrate,
        weight_sum: weight_sum(objective, &traj_start, &wide(&weight)),
    };
    let outcome = evaluate(&stats, &traj_start, &records, &settings);

    let Consts { stats: words, traj: fields } = consts();
    let mut traj = vec![0.0; (count + 1) * fields];
    for s in 0..count {
        let origin = if calibrate { ref_v1[s] } else { 0.0 };
        traj[s * fields..][..3].copy_from_slice(&[reward[s], weight[s], origin]);
    }
    traj_start.push(rows as u32);
    let mut bench = Bench::new(gpu, Variants::table(gpu.caps(), 64));
    let p = ObjectiveParams { trajectories: count as u32 + 1 };
    let step = bench.uniform(ObjectiveStep {
        inv_weight: (1.0 / settings.weight_sum) as f32,
        inv_beta: 1.0 / beta,
        kappa,
    });
    let start = bench.indices(&traj_start);
    let [lse, chosen, ref_logp, entropy] = [lse, chosen, ref_logp, entropy].map(|x| bench.filled(&x));
    let traj = bench.filled(&traj);
    let (out, a, b) = (bench.poisoned((count + 1) * words), bench.poisoned(rows), bench.poisoned(rows));
    bench.run(ObjectiveSums {
        p,
        traj_start: &start,
        lse: &lse,
        chosen: &chosen,
        ref_logp: &ref_logp,
        entropy: &entropy,
        stats: &out,
    });
    let (step, traj_start, stats_gpu, a_gpu, b_gpu) = (&step, &start, &out, &a, &b);
    match objective {
        Objective::Tbrm => {
            bench.run(ObjectiveTbrm {
                p,
                step,
                traj_start,
                traj: &traj,
                stats: stats_gpu,
                a: a_gpu,
                b: b_gpu,
            });
        }
        Objective::Sft => {
            bench.run(ObjectiveSft {
                p,
                step,
                traj_start,
                traj: &traj,
                stats: stats_gpu,
                a: a_gpu,
                b: b_gpu,
            });
        }
        Objective::Brm => bench.run(ObjectiveBrm {
            p,
            step,
            traj_start,
            traj: &traj,
            lse: &lse,
            chosen: &chosen,
            ref_logp: &ref_logp,
            stats: stats_gpu,
            a: a_gpu,
            b: b_gpu,
        }),
    }
    bench.go();

    // Sums over a trajectory of numbers up to 10; residuals are as large, the loss their square times a share.
    let longest = f64::from(lengths.iter().copied().max().unwrap_or(0));
    let sum = EPS * (8.0 + longest) * 10.0;
    let within = |abs: f64| Within { abs, rel: 16.0 * EPS };
    let column = |at: usize| out.read(gpu).chunks(words).map(|s| s[at]).take(count).collect::<Vec<_>>();
    let per = |f: &dyn Fn(std::ops::Range<usize>) -> f64| -> Vec<f64> {
        (0..count).map(|s| f(traj_start_of(lengths, s))).collect()
    };
    let logp = per(&|rows| rows.map(|r| stats.chosen[r] - stats.lse[r]).sum());
    let total_entropy = per(&|rows| rows.map(|r| stats.entropy[r]).sum());
    close(&what("logp"), &column(0), &logp, within(sum));
    close(&what("rho"), &column(1), &outcome.rho, within(sum));
    close(&what("v1"), &column(2), &outcome.v1, within(0.0));
    close(&what("entropy"), &column(3), &total_entropy, within(sum));
    // The twin of sft has no residual; the kernel reports tbrm's, for comparison.
    let tbrm = evaluate(
        &stats,
        &traj_start_all(lengths),
        &records,
        &Settings { objective: Objective::Tbrm, ..settings },
    );
    let delta = if objective == Objective::Sft { &tbrm.delta } else { &outcome.delta };
    close(&what("residual"), &column(5), delta, within(sum));
    let largest = delta.iter().fold(10.0, |a: f64, b| a.max(b.abs()));
    let squares: Vec<f64> = match objective {
        // The twin reports the squares of brm's residuals only within the loss.
        Objective::Brm => {
            (0..count).map(|s| outcome.loss[s] * settings.weight_sum / records.weight[s]).collect()
        }
        _ => delta.iter().map(|delta| delta * delta).collect(),
    };
    close(&what("residual^2"), &column(6), &squares, within(4.0 * sum * largest));
    close(&what("loss"), &column(4), &outcome.loss, within(4.0 * sum * largest / settings.weight_sum));
    close(&what("weight"), &column(7), &records.weight, within(0.0));
    let grad = within(4.0 * sum / settings.weight_sum);
    bench.check(&what("a"), &a, &outcome.a, grad);
    bench.check(&what("b"), &b, &outcome.b, grad);

    let padding = &out.read(gpu)[count * words..];
    assert!(padding.iter().all(|x| x.abs() == 0.0), "{}: {padding:?}", what("an empty trajectory"));
}

/// Words of a trajectory in `stats` and in `traj`.
struct Consts {
    stats: usize,
    traj: usize,
}

fn consts() -> Consts {
    let consts = Variant::Base.consts();
    Consts { stats: consts.stats as usize, traj: consts.traj as usize }
}

fn traj_start_all(lengths: &[u32]) -> Vec<u32> {
    let mut start = vec![0];
    lengths.iter().for_each(|length| start.push(start[start.len() - 1] + length));
    start
}

fn traj_start_of(lengths: &[u32], s: usize) -> std::ops::Range<usize> {
    let start = traj_start_all(lengths);
    start[s] as usize..start[s + 1] as usize
}

gpu_test!(objectives_are_their_twins);
fn objectives_are_their_twins() {
    for objective in [Objective::Sft, Objective::Tbrm, Objective::Brm] {
        for lengths in [&[1][..], &[2], &[5, 1, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 67]] {
            for calibrate in [false, true] {
                check(gpu(), objective, lengths, calibrate);
            }
        }
    }
}
