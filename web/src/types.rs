//! The TypeScript of the objects that cross, and the test that they have the fields that it says.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use tbrm_core::chat::{Answer, Drawing};
    use tbrm_core::compare::{Continued, Pair};
    use tbrm_core::gpu::Caps;
    use tbrm_core::lab::LabEvent;
    use tbrm_core::lab::compare::{ArmSummary, Comparison, SoFar, Trial, Work};
    use tbrm_core::lab::stats::Interval;
    use tbrm_core::objective::Objective;
    use tbrm_core::run::report::SampleToken;
    use tbrm_core::theory::race::{Likely, Look, RaceEvent, RacerInfo, Source, Standing};
    use tbrm_core::theory::{Check, Series, TheoryEvent};
    use tbrm_core::train::bench::Report;
    use tbrm_core::{Error, ErrorKind};

    use crate::bench::preset_infos;
    use crate::chat::ChatInfo;
    use crate::gpu::DeviceInfo;
    use crate::lab::options;
    use crate::tasks::TaskInfo;

    // The macro takes the constant above away.
    const TYPES: &str = include_str!("types.d.ts");

    /// Fields of an interface, in its order.
    fn fields(interface: &str) -> Vec<&'static str> {
        let start = format!("export interface {interface} {{\n");
        let (_, body) = TYPES.split_once(&start).expect("an interface of this name");
        let (body, _) = body.split_once("\n}").expect("it ends");
        // Two spaces: deeper lines go on with a field's type.
        let lines = body.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names = lines.filter_map(|line| line.trim().split_once(':').map(|(name, _)| name));
        names.filter(|name| !name.starts_with('/')).map(|name| name.trim_end_matches('?')).collect()
    }

    fn keys(value: &impl Serialize) -> Vec<String> {
        let value = serde_json::to_value(value).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn objects_have_the_fields_of_their_types() {
        let caps = Caps {
            software: false,
            subgroups: false,
            subgroup_size: 0,
            f16: false,
            int64: false,
            timestamps: false,
            pipeline_cache: false,
            max_binding: 0,
            max_buffer: 0,
            max_groups: 0,
        };
        let report = Report {
            preset: "",
            device: String::new(),
            driver: String::new(),
            dtype: "",
            tokens_per_s: 0.0,
            step_ms: 0.0,
            first_step_ms: 0.0,
            peak_bytes: 0,
            params: 0,
            losses: Vec::new(),
        };
        assert_eq!(keys(&DeviceInfo { name: "", caps: &caps }), fields("DeviceInfo"));
        assert_eq!(keys(&report), fields("BenchReport"));
        assert_eq!(keys(&preset_infos().unwrap()[0]), fields("PresetInfo"));
        let answer = Answer { text: String::new(), tokens: 0, finished: true, record: None };
        assert_eq!(keys(&answer), fields("Answer"));
        assert_eq!(keys(&Drawing::default()), fields("Drawing"));
        assert_eq!(keys(&ChatInfo { conversations: true, positions: 0 }), fields("ChatInfo"));
        let token = SampleToken { text: String::new(), advantage: 0.0, logp: Some(0.0), ref_logp: Some(0.0) };
        let continued = Continued { text: String::new(), finished: true, rho: 0.0, tokens: Vec::new() };
        assert_eq!(keys(&token), fields("SampleToken"));
        assert_eq!(keys(&continued), fields("Continued"));
        let pair = Pair { prompt: String::new(), before: continued.clone(), after: continued };
        assert_eq!(keys(&pair), fields("Pair"));
        let task = TaskInfo {
            description: String::new(),
            prompts: String::new(),
            held_out: String::new(),
            demonstrations: String::new(),
            max_new_tokens: 0,
        };
        assert_eq!(keys(&task), fields("TaskInfo"));
        assert_eq!(keys(&Error::new(ErrorKind::TooLarge, "", "")), fields("Fault"));
        let objectives = Objective::ALL.map(|objective| format!("\"{}\"", objective.name())).join(" | ");
        assert!(TYPES.contains(&format!("export type Objective = {objectives};\n")), "{objectives}");
    }

    #[test]
    fn objects_of_the_lab_have_the_fields_of_their_types() {
        let options = serde_json::to_value(options().unwrap()).unwrap();
        assert_eq!(keys(&options), fields("LabOptions"));
        assert_eq!(keys(&options["race"]), fields("RaceConfig"));
        assert_eq!(keys(&options["trial"]), fields("Trial"));
        let (objective, kl) = (Objective::Tbrm, 0.0);
        let racer = RacerInfo { objective, source: Source::Logs, values: true, exact: true };
        assert_eq!(keys(&racer), fields("RacerInfo"));
        let look = Look { objective, step: 0, trajectories: 0, kl, v1: 0.0, reward: 0.0 };
        assert_eq!(keys(&look), fields("Look"));
        let standing =
            Standing { objective, first_kl: kl, last_kl: kl, v1: 0.0, reward: 0.0, finished: true };
        assert_eq!(keys(&standing), fields("Standing"));
        let likely =
            Likely { actions: Vec::new(), reward: 0.0, reference: 0.0, optimal: 0.0, policies: Vec::new() };
        assert_eq!(keys(&likely), fields("Likely"));
        let series = Series { name: String::new(), x: "", y: "", points: Vec::new() };
        assert_eq!(keys(&series), fields("Series"));
        let check = Check { name: "", claim: "", found: String::new(), passed: true, series: Vec::new() };
        assert_eq!(keys(&check), fields("Check"));
        let work = Work { runs: 0, steps: 0, tokens: 0, params: 0, total_bytes: 0 };
        assert_eq!(keys(&work), fields("LabWork"));
        let config = Trial::default().config().unwrap();
        let interval = Interval { mean: f64::NAN, low: None, high: None };
        assert_eq!(keys(&interval), fields("Interval"));
        let summary = ArmSummary {
            arm: config.arms[0].clone(),
            tuning: Vec::new(),
            accuracy: interval,
            at_common_tokens: interval,
            difference: None,
            each: Vec::new(),
            tokens: 0.0,
            seconds: interval,
            rollout_share: 0.0,
            peak_bytes: 0,
            failed: 0,
            curve: Vec::new(),
        };
        assert_eq!(keys(&summary), fields("ArmSummary"));
        let comparison =
            Comparison { config: config.clone(), start: interval, common_tokens: 0.0, arms: vec![summary] };
        assert_eq!(keys(&comparison), fields("Comparison"));
        let so_far = SoFar { config, done: 0, runs: 0, comparison: Some(comparison) };
        assert_eq!(keys(&so_far), fields("SoFar"));
        // The fields of an event stand beside its type.
        let told = serde_json::to_value(LabEvent::Compared(Box::new(so_far))).unwrap();
        assert_eq!((&told["type"], &told["done"]), (&"compared".into(), &0.into()));
        assert_eq!(told["config"]["arms"][0]["name"], "tbrm");
        assert_eq!(serde_json::to_value(RaceEvent::Looked(look)).unwrap()["type"], "looked");
        assert_eq!(serde_json::to_value(TheoryEvent::Checked(check)).unwrap()["type"], "checked");
    }

    #[test]
    fn kinds_of_faults_are_those_of_the_type() {
        let known = [
            ErrorKind::Adapter,
            ErrorKind::Device,
            ErrorKind::TooLarge,
            ErrorKind::Model,
            ErrorKind::Tokenizer,
            ErrorKind::Data,
            ErrorKind::Config,
            ErrorKind::NotFinite,
            ErrorKind::Checkpoint,
            ErrorKind::Store,
            ErrorKind::Check,
        ];
        for kind in known {
            let name = serde_json::to_string(&kind).unwrap();
            assert!(TYPES.contains(&format!("    | {name}")), "types.d.ts does not know {name}");
        }
    }
}
