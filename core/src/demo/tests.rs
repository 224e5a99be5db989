use super::*;
use crate::gpu::GpuOptions;
use crate::run::{Event, MemoryStore, Store};

#[test]
fn the_error_of_an_accuracy_is_that_of_a_mean_over_problems() {
    let accuracy = Accuracy::new(&[1.0, 0.0, 0.5, 0.5]);
    // Sample variance (0.25 + 0.25) / 3, over four problems.
    assert!((accuracy.mean - 0.5).abs() < 1e-12 && (accuracy.stderr - (0.5f64 / 12.0).sqrt()).abs() < 1e-12);
}

#[test]
fn the_logs_are_noisy_and_touch_no_held_out_problem() {
    let demo = Demo::new(DemoConfig::new(4)).unwrap();
    let config = &demo.config;
    assert_eq!(demo.logs.len(), config.problems * config.demonstrations);
    let wrong = demo.logs.iter().filter(|shown| shown.reward == 0.0).count() as f64 / demo.logs.len() as f64;
    assert!((wrong - config.wrong).abs() < 0.02, "{wrong}");
    let logged: std::collections::HashSet<&str> = demo.logs.iter().map(|l| l.prompt.as_str()).collect();
    assert!(demo.split.held_out.iter().all(|problem| !logged.contains(problem.prompt.as_str())));
    // Both stages see all of the logs, and the trajectories are the records of the log, line by line.
    assert_eq!(demo.data.len(), demo.logs.len());
    assert!(demo.data.iter().zip(&demo.logs).all(|(t, shown)| t.reward == Some(shown.reward)));
}

#[test]
fn the_embedded_logs_are_those_of_the_demo() {
    let demo = Demo::new(DemoConfig::new(0)).unwrap();
    let lines = |name| embedded_logs(name).unwrap().expect("a known name").lines().count();
    assert!(
        embedded_logs("sort").unwrap().unwrap().lines().eq(demo.logs.iter().map(|shown| shown.to_json()))
    );
    assert_eq!((lines("sort"), lines("sort-held-out")), (demo.data.len(), demo.eval.len()));
    assert_eq!(embedded_logs("sort.jsonl").unwrap(), None);
}

/// A smaller task, so that the story fits a test: three digits instead of five.
#[test]
fn tbrm_from_the_same_logs_is_much_better_than_the_warm_start() {
    let gpu = pollster::block_on(Gpu::open(&GpuOptions::default())).unwrap();
    let mut config = DemoConfig::new(0);
    (config.digits, config.problems, config.held_out, config.samples) = (3, 600, 60, 4);
    (config.warm_start.steps, config.tbrm.steps, config.tbrm.eval_every) = (150, 100, 0);
    (config.online.steps, config.online.eval_every, config.rollouts.max_new_tokens) = (40, 0, 4);
    let mut accuracies = Vec::new();
    pollster::block_on(async {
        let demo = Demo::new(config).unwrap();
        let mut story = DemoRun::start(&gpu, MemoryStore::default(), demo, None).await.unwrap();
        while let Some(event) = story.next().await.unwrap() {
            if let DemoEvent::Trained { stage, accuracy, .. } = event {
                accuracies.push((stage, accuracy));
            }
        }
    });
    let [(Stage::WarmStart, before), (Stage::Tbrm, after), (Stage::Online, online)] = accuracies[..] else {
        panic!("the stages are {accuracies:?}")
    };
    // An imitator is right as often as the demonstrations are: half the time.
    assert!(before.mean < 0.65, "{before:?}");
    let error = before.stderr.hypot(after.stderr);
    assert!(after.mean - before.mean > 0.15 + 4.0 * error, "{before:?}, then {after:?}");
    // Its own completions take nothing away.
    let error = after.stderr.hypot(online.stderr);
    assert!(online.mean > after.mean - 4.0 * error, "{after:?}, then {online:?}");
}

fn short() -> Demo {
    Demo::new(DemoConfig::new(5).shortened()).unwrap()
}

/// Tells the story until `event` is `stop`, or to its end.
fn tell(story: &mut DemoRun<MemoryStore>, stop: impl Fn(&DemoEvent) -> bool) -> Vec<DemoEvent> {
    let mut told = Vec::new();
    while let Some(event) = pollster::block_on(story.next()).unwrap() {
        let over = stop(&event);
        told.push(event);
        if over {
            break;
        }
    }
    told
}

/// The weights after each stage, the metrics of both runs, and the stages with their accuracies.
type Left = ([Vec<u8>; 3], Vec<serde_json::Value>, Vec<(Stage, Option<Accuracy>)>);

/// What the story leaves behind, without times.
fn left(store: &MemoryStore) -> Left {
    pollster::block_on(async {
        let read = async |path: &str| store.read(path).await.unwrap().unwrap_or_else(|| panic!("{path}"));
        let metrics = [read("metrics.jsonl").await, read("online/metrics.jsonl").await].concat();
        let metrics = String::from_utf8(metrics).unwrap();
        let untimed = metrics.lines().map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["step_time"], line["tokens_per_s"]) = Default::default();
            line
        });
        let stages = outcomes(store).await.unwrap().iter().map(|o| (o.stage, o.accuracy)).collect();
        let models = [
            read("warm-start/model.safetensors").await,
            read("model/model.safetensors").await,
            read("online/model/model.safetensors").await,
        ];
        (models, untimed.collect(), stages)
    })
}

#[test]
fn a_story_that_is_cut_off_anywhere_goes_on_to_the_same_bits() {
    let gpu = pollster::block_on(Gpu::open(&GpuOptions::default())).unwrap();
    let whole = MemoryStore::default();
    let mut story = pollster::block_on(DemoRun::start(&gpu, whole.clone(), short(), None)).unwrap();
    // What lay there after every event.
    let (mut told, mut cuts) = (Vec::new(), Vec::new());
    while let Some(event) = pollster::block_on(story.next()).unwrap() {
        told.push(event);
        cuts.push(whole.copy());
    }
    assert!(matches!(told.last(), Some(DemoEvent::Done { complete: true })), "{told:?}");
    let want = left(&whole);
    assert!(want.2.iter().all(|(_, accuracy)| accuracy.is_some()) && want.2.len() == 3, "{:?}", want.2);
    // Cut off there, without warning; nothing is left to do only at the end.
    for (store, event) in cuts.iter().zip(&told[..told.len() - 2]) {
        let mut story =
            pollster::block_on(DemoRun::resume(&gpu, store.clone())).unwrap().expect("unfinished");
        tell(&mut story, |_| false);
        assert!(left(store) == want, "cut off after {event:?}");
    }
    assert!(pollster::block_on(DemoRun::resume(&gpu, whole)).unwrap().is_none());
}

#[test]
fn a_story_that_is_stopped_is_saved_where_it_stands() {
    let gpu = pollster::block_on(Gpu::open(&GpuOptions::default())).unwrap();
    let step = |n: u64| move |event: &DemoEvent| matches!(event, DemoEvent::Train { event: Event::Step { metrics }, .. } if metrics.step == n);
    let store = MemoryStore::default();
    let mut story = pollster::block_on(DemoRun::start(&gpu, store.clone(), short(), None)).unwrap();
    // In each stage; and then to the end.
    for stage in Stage::ALL {
        tell(&mut story, |event| {
            step(1)(event) && matches!(event, DemoEvent::Train { stage: s, .. } if *s == stage)
        });
        story.stop();
        let told = tell(&mut story, |_| false);
        let [
            ..,
            DemoEvent::Train { event: Event::Checkpoint { step, .. }, .. },
            DemoEvent::Done { complete },
        ] = &told[..]
        else {
            panic!("{told:?}")
        };
        assert!(!complete && *step < 4, "{told:?}");
        drop(story);
        story = pollster::block_on(DemoRun::resume(&gpu, store.clone())).unwrap().expect("unfinished");
        let Some(DemoEvent::Stage { stage: now, done, .. }) = pollster::block_on(story.next()).unwrap()
        else {
            panic!("no stage")
        };
        assert_eq!((now, done), (stage, *step));
    }
    tell(&mut story, |_| false);
    assert_eq!(left(&store).2.len(), 3);
}

#[test]
fn events_are_one_object_each() {
    let accuracy = Accuracy { mean: 0.5, stderr: 0.25 };
    let json = |event: &DemoEvent| serde_json::to_value(event).unwrap();
    let event =
        DemoEvent::Train { stage: Stage::WarmStart, event: Event::Finished { step: 2, complete: true } };
    let want = serde_json::json!({"stage": "warm-start", "type": "finished", "step": 2, "complete": true});
    assert_eq!(json(&event), want);
    let event = DemoEvent::Accuracy { stage: Stage::Tbrm, step: 3, accuracy };
    let want =
        serde_json::json!({"type": "accuracy", "stage": "tbrm", "step": 3, "mean": 0.5, "stderr": 0.25});
    assert_eq!(json(&event), want);
}
