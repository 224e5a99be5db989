use serde_json::json;

use super::*;

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror='a()'>\"&amp;{{title}}\0";

fn token_of(text: &str, advantage: f64) -> SampleToken {
    SampleToken { text: text.into(), advantage, logp: Some(-1.0), ref_logp: Some(-2.0) }
}

fn hostile_report() -> String {
    let sample = Sample {
        step: 3,
        prompt: HOSTILE.into(),
        completion: HOSTILE.into(),
        reward: Some(1.0),
        residual: Some(-0.25),
        tokens: vec![token_of(HOSTILE, -0.5)],
    };
    let stage = Stage { name: HOSTILE.into(), accuracy: 0.5, stderr: 0.01 };
    render(&Report {
        title: HOSTILE,
        settings: &json!({"model": HOSTILE, "nested": {HOSTILE: HOSTILE}}),
        metrics: &[json!({"step": 1, "loss": 2.0, (format!("eval/{HOSTILE}")): 1.0})],
        stages: &[stage],
        samples: &[sample],
    })
}

#[test]
fn no_text_of_others_becomes_markup() {
    let html = hostile_report();
    assert!(!html.contains("<script") && !html.contains("</script") && !html.contains("<img"));
    assert!(!html.contains('\0'));
    // Everywhere it was given, it is shown: title twice, subtitle, stage, curve, prompt, token, setting's name and values.
    assert_eq!(html.matches("&lt;/script&gt;&lt;script&gt;alert(1)").count(), 10);
    assert_eq!(html.matches("{{title}}").count(), 10);
}

#[test]
fn the_file_needs_nothing_else() {
    let html = hostile_report();
    for outside in ["http://", "https://", "src=\"", "href=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn every_metric_that_is_there_has_a_curve() {
    let lines: Vec<_> = (1..=3)
        .map(|step| {
            let mut line = json!({"step": step, "eval/accuracy": 0.5});
            CURVES.iter().for_each(|(key, ..)| line[*key] = json!(0.1 * f64::from(step)));
            line
        })
        .collect();
    let html = charts(&lines);
    assert_eq!(html.matches("<svg").count(), CURVES.len() + 1);
    // One that is not finite is `null` in the file: the others are still drawn.
    assert_eq!(charts(&[json!({"step": 1, "loss": null, "rho": 1.0})]).matches("<svg").count(), 1);
}

#[test]
fn a_run_without_steps_says_so() {
    let settings = json!({});
    let html = render(&Report { title: "run", settings: &settings, metrics: &[], stages: &[], samples: &[] });
    assert!(html.contains("No step was taken."));
    assert!(!html.contains("<svg"));
}

#[test]
fn colours_follow_sign_and_size() {
    let colour = |advantage| {
        let html = token(&token_of("x", advantage), 2.0);
        html.split(" data-a").next().expect("an attribute").to_owned()
    };
    assert_eq!(colour(1.0), "<span class=\"t p\" style=\"--a:0.300\"");
    assert_eq!(colour(-9.0), "<span class=\"t n\" style=\"--a:0.600\"");
    assert_eq!(colour(f64::NAN), "<span class=\"t p\" style=\"--a:0.000\"");
    assert_eq!(colour(f64::INFINITY), "<span class=\"t p\" style=\"--a:0.000\"");
}

#[test]
fn one_outlier_does_not_pale_the_rest() {
    let tokens = (0..100).map(|i| token_of("x", if i == 0 { 1e9 } else { 0.5 }));
    let sample = Sample {
        step: 0,
        prompt: String::new(),
        completion: String::new(),
        reward: None,
        residual: None,
        tokens: tokens.collect(),
    };
    assert_eq!(full_advantage(&[sample]), 0.5);
    assert_eq!(full_advantage(&[]), 1.0);
}
