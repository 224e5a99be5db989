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
    use tbrm_core::run::report::SampleToken;
    use tbrm_core::train::bench::Report;
    use tbrm_core::{Error, ErrorKind};

    use crate::bench::preset_infos;
    use crate::chat::ChatInfo;
    use crate::gpu::DeviceInfo;
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
