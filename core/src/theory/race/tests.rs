//! Races on the device, and the draws that they are made of. A missing adapter fails those that train.

use tbrm_testing::{block_on, gpu_test};

use super::*;
use crate::gpu::GpuOptions;

/// Every event of a race.
fn run(config: &RaceConfig) -> Vec<RaceEvent> {
    let gpu = block_on(Gpu::open(&GpuOptions::default())).expect("this test needs an adapter");
    let mut race = block_on(Race::new(&gpu, config)).unwrap();
    let mut events = Vec::new();
    while let Some(event) = block_on(race.next()).unwrap() {
        events.push(event);
    }
    events
}

fn looks(events: &[RaceEvent], of: Objective) -> Vec<Look> {
    let look = |event: &RaceEvent| match event {
        RaceEvent::Looked(look) if look.objective == of => Some(*look),
        _ => None,
    };
    events.iter().filter_map(look).collect()
}

gpu_test!(tbrm_nears_the_optimum_from_logs_and_from_rollouts_beside_the_others);
fn tbrm_nears_the_optimum_from_logs_and_from_rollouts_beside_the_others() {
    let config = RaceConfig {
        objectives: vec![Objective::Tbrm, Objective::Grpo, Objective::Rloo],
        actions: 4,
        horizon: 2,
        steps: 120,
        look_every: 40,
        ..RaceConfig::default()
    };
    let logged = run(&config);
    let RaceEvent::Began { trajectories: 16, log_z, reward: best, racers } = &logged[0] else {
        panic!("{:?}", logged[0])
    };
    assert_eq!(
        racers.iter().map(|racer| (racer.source, racer.values, racer.exact)).collect::<Vec<_>>(),
        [(Source::Logs, true, true), (Source::Rollouts, false, false), (Source::Rollouts, false, true)]
    );
    let rolled = run(&RaceConfig { source: Source::Rollouts, ..config.clone() });
    for events in [&logged, &rolled] {
        let tbrm = looks(events, Objective::Tbrm);
        assert_eq!(tbrm.iter().map(|look| look.step).collect::<Vec<_>>(), [0, 40, 80, 120]);
        assert_eq!(tbrm[3].trajectories, 120 * 32);
        assert!(tbrm[3].kl < 0.02 * tbrm[0].kl, "{tbrm:?}");
        assert!((tbrm[3].v1 - log_z).abs() < 0.05, "{} for {log_z}", tbrm[3].v1);
        // The same weights at the start, and the same draws: only the objectives differ.
        let [grpo, rloo] = [Objective::Grpo, Objective::Rloo].map(|other| looks(events, other));
        assert_eq!([grpo[0].kl, rloo[0].kl], [tbrm[0].kl; 2]);
        assert!(rloo[3].kl < 0.1 * rloo[0].kl, "{rloo:?}");
        // Its optimum is another: it goes for more reward than pi* has.
        assert!(grpo[3].kl > grpo[0].kl && grpo[3].reward > *best, "{grpo:?}");
        let Some(RaceEvent::Finished { standings, likeliest }) = events.last() else { panic!("no end") };
        assert_eq!((standings.len(), likeliest.len()), (3, SHOWN));
        assert!(standings[0].finished && standings[0].last_kl == tbrm[3].kl);
        assert!(likeliest.windows(2).all(|two| two[0].optimal >= two[1].optimal));
        assert!((likeliest[0].policies[0] - likeliest[0].optimal).abs() < 0.05, "{likeliest:?}");
    }
    // What the others do does not depend on where tbrm takes its trajectories from.
    assert_eq!(looks(&logged, Objective::Grpo), looks(&rolled, Objective::Grpo));
    assert_ne!(looks(&logged, Objective::Tbrm), looks(&rolled, Objective::Tbrm));
}

#[test]
fn trajectories_are_drawn_as_often_as_the_policy_says() {
    let shares = [0.5f64, 0.3, 0.2];
    let logp: Vec<f64> = shares.iter().map(|p| p.ln()).collect();
    let config = RaceConfig { batch: 40_000, ..RaceConfig::default() };
    let mut counts = [0usize; 3];
    draw(&logp, &config, 1).for_each(|i| counts[i] += 1);
    for (count, share) in counts.iter().zip(shares) {
        // Five standard deviations of a share of 40000.
        assert!((*count as f64 / 40_000.0 - share).abs() <= 0.0125, "{counts:?}");
    }
}
