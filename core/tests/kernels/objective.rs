use tbrm_core::gpu::kernels::copy::{CopyFwd, CopyParams};
use tbrm_core::gpu::kernels::objective::{
    ObjectiveA2po, ObjectiveBrm, ObjectiveDpo, ObjectiveGrpo, ObjectiveHybrid, ObjectiveParams, ObjectivePpo,
    ObjectivePpoValue, ObjectiveReinforce, ObjectiveRloo, ObjectiveSft, ObjectiveSums, ObjectiveTba,
    ObjectiveTbrm, Variant,
};
use tbrm_core::gpu::{Gpu, View};
use tbrm_core::objective::{LossType, Member, Objective, Terms, Together};
use tbrm_core::ops::Variants;
use tbrm_core::reference::head::Stats;
use tbrm_core::reference::objective::{Critique, Records, Settings, critic, evaluate, weight_sum};
use tbrm_testing::gpu_test;

use crate::harness::{Bench, EPS, Within, close, gpu, random, wide};

/// What the objectives' kernels bind.
struct Rows<'a> {
    step: &'a View,
    traj_start: &'a View,
    traj: &'a View,
    sets: &'a View,
    lse: &'a View,
    chosen: &'a View,
    ref_logp: &'a View,
    old_logp: &'a View,
    stats: &'a View,
    a: &'a View,
    b: &'a View,
    advantages: &'a View,
    old_value: &'a View,
    returns: &'a View,
    value: &'a View,
    dvalue: &'a View,
}

fn run(bench: &mut Bench<'_>, objective: Objective, p: ObjectiveParams, rows: &Rows<'_>) {
    let Rows { step, traj_start, traj, sets, lse, chosen, ref_logp, old_logp, stats, a, b, .. } = *rows;
    match objective {
        Objective::Tbrm => return bench.run(ObjectiveTbrm { p, step, traj_start, traj, stats, a, b }),
        Objective::Hybrid => return bench.run(ObjectiveHybrid { p, step, traj_start, traj, stats, a, b }),
        Objective::Brm => {
            return bench.run(ObjectiveBrm { p, step, traj_start, traj, lse, chosen, ref_logp, stats, a, b });
        }
        Objective::Sft => bench.run(ObjectiveSft { p, step, traj_start, traj, stats, a }),
        Objective::Reinforce => bench.run(ObjectiveReinforce { p, step, traj_start, traj, stats, a }),
        Objective::Rloo => bench.run(ObjectiveRloo { p, step, traj_start, traj, sets, stats, a }),
        Objective::Grpo => {
            bench.run(ObjectiveGrpo { p, step, traj_start, traj, lse, chosen, ref_logp, stats, a, old_logp });
        }
        Objective::Dpo => bench.run(ObjectiveDpo { p, step, traj_start, traj, sets, stats, a }),
        Objective::A2po => bench.run(ObjectiveA2po { p, step, traj_start, traj, stats, a }),
        Objective::Tba => bench.run(ObjectiveTba { p, step, traj_start, traj, sets, stats, a }),
        Objective::Ppo => {
            let Rows { advantages, old_value, returns, value, dvalue, .. } = *rows;
            bench.run(ObjectivePpo {
                p,
                step,
                traj_start,
                traj,
                lse,
                chosen,
                old_logp,
                advantages,
                stats,
                a,
            });
            bench.run(ObjectivePpoValue {
                p,
                step,
                traj_start,
                traj,
                stats,
                value,
                old_value,
                returns,
                dvalue,
            });
        }
    }
    bench.run(CopyFwd { p: CopyParams { count: a.len() as u32 }, x: a, out: b });
}

/// Sizes of the sets that `count` trajectories stand in.
fn sizes(together: Together, count: usize) -> Vec<usize> {
    match together {
        Together::Alone => vec![1; count],
        Together::Pair => vec![2; count / 2],
        Together::Group if count < 4 => vec![count],
        Together::Group => vec![2, count - 2],
    }
}

/// Trajectories of the given lengths, and one empty one behind them: padding, of no weight.
pub(crate) fn check(gpu: &Gpu, objective: Objective, terms: Terms, lengths: &[u32], calibrate: bool) {
    let what =
        |pass: &str| format!("objective {objective:?} {terms:?} {lengths:?} calibrate {calibrate} {pass}");
    let count = lengths.len();
    let sizes = sizes(objective.needs(&terms).together, count);
    let mut traj_start = vec![0];
    lengths.iter().for_each(|length| traj_start.push(traj_start[traj_start.len() - 1] + length));
    let rows = traj_start[count] as usize;
    let scaled = |stream, by: f32| random(stream, rows).into_iter().map(move |x| x * by).collect::<Vec<_>>();
    let (lse, chosen, entropy) = (scaled(1, 5.0), scaled(2, 5.0), scaled(4, 1.0));
    // Near the model's own, as a policy's log-probs are: ratios far from 1 would test nothing but overflow.
    let near = |stream, by| -> Vec<f32> {
        scaled(stream, by).iter().enumerate().map(|(r, x)| chosen[r] - lse[r] + x).collect()
    };
    let (ref_logp, old_logp) = (near(3, 2.0), near(8, 0.5));
    let (reward, ref_v1) = (random(5, count), random(6, count));
    let (advantage, old_value, returns) = (scaled(9, 2.0), scaled(10, 1.0), scaled(11, 2.0));
    // Some beyond the clip, on either side of the goal.
    let value: Vec<f32> = scaled(12, 0.5).iter().zip(&old_value).map(|(x, old)| old + x).collect();
    let mut weight: Vec<f32> = random(7, count).iter().map(|w| w + 1.5).collect();
    if objective == Objective::Dpo {
        // A pair is one record.
        weight.chunks_mut(2).for_each(|pair| pair[1] = pair[0]);
    }
    let (beta, kappa) = (0.125f32, 0.5f32);

    let stats = Stats { lse: wide(&lse), chosen: wide(&chosen), entropy: wide(&entropy) };
    let mut end = 0;
    let set = |&size: &usize| {
        end += size;
        end - size..end
    };
    let sets: Vec<std::ops::Range<usize>> = sizes.iter().map(set).collect();
    let records = Records {
        ref_logp: wide(&ref_logp),
        old_logp: wide(&old_logp),
        ref_v1: wide(&ref_v1),
        reward: wide(&reward),
        weight: wide(&weight),
        sets: sets.clone(),
        critique: Critique { advantage: wide(&advantage), value: wide(&old_value), returns: wide(&returns) },
    };
    let sum_of = |objective| weight_sum(objective, &terms, &traj_start, &wide(&weight));
    let settings = Settings {
        objective,
        terms,
        beta: f64::from(beta),
        logit_scale: f64::from(kappa),
        calibrate,
        weight_sum: sum_of(objective),
        tbrm_weight_sum: sum_of(Objective::Tbrm),
    };
    let mut outcome = evaluate(&stats, &traj_start, &records, &settings);
    let of_critic = critic(&wide(&value), &traj_start, &records, &settings);
    if objective == Objective::Ppo {
        let shares = outcome.loss.iter_mut().zip(&of_critic.loss);
        shares.for_each(|(loss, own)| *loss += terms.value_coefficient * own);
    }

    let Consts { stats: words, traj: fields } = consts();
    let members: Vec<Member> =
        reward.iter().map(|&reward| Member { reward: reward.into(), v_star: None }).collect();
    let signals = objective.signals(&terms, &members, &sizes);
    let mut traj = vec![0.0; (count + 1) * fields];
    for s in 0..count {
        let origin = if calibrate { ref_v1[s] } else { 0.0 };
        traj[s * fields..][..4].copy_from_slice(&[reward[s], weight[s], origin, signals[s] as f32]);
    }
    traj_start.push(rows as u32);
    let mut bench = Bench::new(gpu, Variants::table(gpu.caps(), 64));
    let p = ObjectiveParams { trajectories: count as u32 + 1 };
    let weighted = weight.iter().zip(lengths).map(|(&weight, &length)| (f64::from(weight), length as usize));
    let step = bench.uniform(objective.step(&terms, beta.into(), kappa.into(), weighted));
    let start = bench.indices(&traj_start);
    let mut bounds: Vec<u32> = Vec::new();
    sets.iter().for_each(|set| bounds.extend([set.start as u32, set.end as u32].repeat(set.len())));
    bounds.extend([count as u32, count as u32 + 1]);
    let bounds = bench.indices(&bounds);
    let [lse, chosen, ref_logp, old_logp, entropy] =
        [lse, chosen, ref_logp, old_logp, entropy].map(|x| bench.filled(&x));
    let traj = bench.filled(&traj);
    let [advantages, old_value, returns, value] =
        [advantage, old_value, returns, value].map(|x| bench.filled(&x));
    let dvalue = bench.poisoned(rows);
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
    let views = Rows {
        step: &step,
        traj_start: &start,
        traj: &traj,
        sets: &bounds,
        lse: &lse,
        chosen: &chosen,
        ref_logp: &ref_logp,
        old_logp: &old_logp,
        stats: &out,
        a: &a,
        b: &b,
        advantages: &advantages,
        old_value: &old_value,
        returns: &returns,
        value: &value,
        dvalue: &dvalue,
    };
    if objective == Objective::Hybrid {
        run(&mut bench, terms.hybrid_with, p, &views);
    }
    run(&mut bench, objective, p, &views);
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
    let tbrm_settings = Settings { objective: Objective::Tbrm, ..settings };
    let tbrm = evaluate(&stats, &traj_start_all(lengths), &records, &tbrm_settings);
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

    if objective.needs(&terms).logps {
        let clipped: Vec<f64> = outcome.clipped.concat();
        let found: Vec<f32> = out.read(gpu).chunks(words).take(count).flat_map(|s| [s[8], s[9]]).collect();
        assert_eq!(wide(&found), clipped, "{}", what("clipped"));
    }

    if objective == Objective::Ppo {
        close(&what("value loss"), &column(10), &of_critic.loss, within(4.0 * sum / settings.weight_sum));
        bench.check(&what("dvalue"), &dvalue, &of_critic.dvalue, grad);
        let ratios = |at: usize| outcome.ratios.iter().map(|sums| sums[at]).collect::<Vec<_>>();
        close(&what("approximate KL"), &column(11), &ratios(0), within(sum));
        close(&what("ratios"), &column(12), &ratios(1), within(4.0 * sum));
        assert_eq!(wide(&column(13)), of_critic.clipped, "{}", what("clipped values"));
        let padding = &out.read(gpu)[count * words..];
        assert!(padding.iter().all(|x| x.abs() == 0.0), "{}: {padding:?}", what("an empty trajectory"));
    }

    let padding = &out.read(gpu)[count * words..][..8];
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

/// Every objective, with every kind of settings that its kernel tells apart.
fn all() -> Vec<(Objective, Terms)> {
    let of = |objective, loss_type| (objective, Terms::published(objective, loss_type));
    let mut all: Vec<(Objective, Terms)> = Objective::ALL
        .into_iter()
        .filter(|&objective| objective != Objective::Hybrid)
        .map(|objective| of(objective, LossType::Grpo))
        .collect();
    all.push(of(Objective::Grpo, LossType::Dapo));
    let (_, dr_grpo) = of(Objective::Grpo, LossType::DrGrpo);
    all.push((Objective::Grpo, Terms { loss_length: 70, ..dr_grpo }));
    for hybrid_with in [Objective::Sft, Objective::Grpo, Objective::Dpo, Objective::Tba] {
        let terms = Terms { hybrid_with, lambda: 0.3, ..Terms::published(hybrid_with, LossType::Grpo) };
        all.push((Objective::Hybrid, terms));
    }
    all
}

gpu_test!(objectives_are_their_twins);
fn objectives_are_their_twins() {
    for (objective, terms) in all() {
        let cases = match objective.needs(&terms).together {
            Together::Alone => [&[1][..], &[2], &[5, 1, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 67]],
            Together::Group => [&[1, 1][..], &[2, 7], &[5, 1, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 67]],
            Together::Pair => [&[1, 1][..], &[2, 7], &[5, 1, 3, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 67, 9]],
        };
        for lengths in cases {
            for calibrate in [false, true] {
                check(gpu(), objective, terms, lengths, calibrate);
            }
        }
    }
}
