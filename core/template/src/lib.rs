//! Chat templates by minijinja, with what transformers adds to Jinja.
//!
//! A crate of its own because the page loads it by itself, for a model that brings a template: most visitors never pay
//! for its size.

#![forbid(unsafe_code)]

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Serde, Value, ValueKind, from_args};
use minijinja::{Environment, ErrorKind as JinjaKind, State};
use serde::Serialize;

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template(Arc<Environment<'static>>);

impl Template {
    /// Compiles `text`.
    ///
    /// # Errors
    /// The engine's words, with their place where it tells one: ` (line 3): ...`.
    pub fn new(text: &str) -> Result<Template, String> {
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        env.set_syntax(syntax.map_err(|e| told(&e))?);
        env.set_unknown_method_callback(python_method);
        env.add_filter("tojson", to_json);
        env.add_function("raise_exception", |text: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(JinjaKind::InvalidOperation, text))
        });
        env.add_template_owned("chat", text.to_owned()).map_err(|e| told(&e))?;
        Ok(Template(Arc::new(env)))
    }

    /// The text that the template makes of `values`, an object.
    ///
    /// # Errors
    /// As of [`Template::new`]; those that the template raises are in its own words.
    pub fn render(&self, values: &serde_json::Value) -> Result<String, String> {
        let values = Value::from(Serde(values));
        self.0.get_template("chat").and_then(|template| template.render(values)).map_err(|e| told(&e))
    }
}

fn told(error: &minijinja::Error) -> String {
    let line = error.line().map(|l| format!(" (line {l})")).unwrap_or_default();
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("{line}: {}", detail.replace('\n', " "))
}

/// transformers' `tojson`: Python's `json.dumps(x, ensure_ascii=False)`, which escapes no HTML.
fn to_json(value: &Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut out = Vec::new();
    let failed = |e: serde_json::Error| minijinja::Error::new(JinjaKind::BadSerialization, e.to_string());
    match indent {
        Some(n) => {
            let indent = " ".repeat(n);
            let pretty = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, pretty)).map_err(failed)?;
        }
        None => {
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)).map_err(failed)?
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// JSON with the spaces that Python writes after `,` and `:`.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, w: &mut W) -> std::io::Result<()> {
        w.write_all(b": ")
    }
}

/// The Python methods that chat templates call.
fn python_method(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, minijinja::Error> {
    match value.kind() {
        ValueKind::String => string_method(value.as_str().unwrap_or(""), method, args),
        ValueKind::Map => match method {
            "items" => state.apply_filter("items", std::slice::from_ref(value)),
            "keys" => Ok(value.try_iter()?.collect()),
            "values" => Ok(value.try_iter()?.map(|k| value.get_item(&k)).collect::<Result<_, _>>()?),
            "get" => {
                let (key, default): (Value, Option<Value>) = from_args(args)?;
                let found = value.get_item(&key)?;
                Ok(if found.is_undefined() { default.unwrap_or(Value::from(())) } else { found })
            }
            _ => Err(JinjaKind::UnknownMethod.into()),
        },
        _ => Err(JinjaKind::UnknownMethod.into()),
    }
}

fn string_method(text: &str, method: &str, args: &[Value]) -> Result<Value, minijinja::Error> {
    /// The characters that `strip` and its like take away: those of its argument, or white space.
    fn stripped(args: &[Value]) -> Result<impl Fn(char) -> bool + Copy + '_, minijinja::Error> {
        let (chars,): (Option<&str>,) = from_args(args)?;
        Ok(move |c: char| chars.map_or(c.is_whitespace(), |set| set.contains(c)))
    }
    /// Whether any of a text or a tuple of texts satisfies `test`.
    fn any(args: &[Value], test: impl Fn(&str) -> bool) -> Result<Value, minijinja::Error> {
        let (one,): (Value,) = from_args(args)?;
        let many = one.as_str().is_none().then(|| one.try_iter()).transpose()?;
        Ok(many
            .map_or_else(|| one.as_str().is_some_and(&test), |mut l| l.any(|v| v.as_str().is_some_and(&test)))
            .into())
    }
    Ok(match method {
        "strip" => text.trim_matches(stripped(args)?).into(),
        "lstrip" => text.trim_start_matches(stripped(args)?).into(),
        "rstrip" => text.trim_end_matches(stripped(args)?).into(),
        "startswith" => any(args, |s| text.starts_with(s))?,
        "endswith" => any(args, |s| text.ends_with(s))?,
        "upper" => text.to_uppercase().into(),
        "lower" => text.to_lowercase().into(),
        "title" => {
            let mut inside = false;
            let cased = text.chars().flat_map(|c| {
                let first = c.is_alphabetic() && !inside;
                inside = c.is_alphabetic();
                if first { c.to_uppercase().collect::<Vec<_>>() } else { c.to_lowercase().collect() }
            });
            cased.collect::<String>().into()
        }
        "capitalize" => {
            let mut chars = text.chars();
            let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
            (first + &chars.as_str().to_lowercase()).into()
        }
        "replace" => {
            let (from, to, Rest(count)): (&str, &str, Rest<usize>) = from_args(args)?;
            count.first().map_or_else(|| text.replace(from, to), |&n| text.replacen(from, to, n)).into()
        }
        "split" => {
            let (separator, limit): (Option<&str>, Option<i64>) = from_args(args)?;
            let parts = usize::try_from(limit.unwrap_or(-1)).map_or(usize::MAX, |n| n.saturating_add(1));
            match separator {
                Some(s) => text.splitn(parts, s).map(Value::from).collect(),
                None if limit.is_none() => text.split_whitespace().map(Value::from).collect(),
                None => return Err(JinjaKind::UnknownMethod.into()),
            }
        }
        _ => return Err(JinjaKind::UnknownMethod.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> String {
        Template::new(template)
            .and_then(|template| template.render(&serde_json::json!({})))
            .unwrap_or_else(|told| panic!("{template}{told}"))
    }

    #[test]
    fn python_methods_do_what_python_does() {
        let cases = [
            (
                "{{ ' a '.strip() }}|{{ 'xax'.strip('x') }}|{{ 'xax'.lstrip('x') }}|{{ 'xax'.rstrip('x') }}",
                "a|a|ax|xa",
            ),
            (
                "{{ 'abc'.startswith('a') }}|{{ 'abc'.endswith(('x', 'c')) }}|{{ 'abc'.endswith('b') }}",
                "True|True|False",
            ),
            (
                "{{ 'a-b-c'.split('-')[-1] }}|{{ 'a-b-c'.split('-', 1)[1] }}|{{ ' a  b '.split() | length }}",
                "c|b-c|2",
            ),
            (
                "{{ 'aBc d'.upper() }}|{{ 'aBc d'.lower() }}|{{ 'aBc d'.title() }}|{{ 'aBc d'.capitalize() }}",
                "ABC D|abc d|Abc D|Abc d",
            ),
            ("{{ 'aaa'.replace('a', 'b') }}|{{ 'aaa'.replace('a', 'b', 2) }}", "bbb|bba"),
            ("{% for k, v in {'x': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "x1a2"),
            (
                "{{ {'x': 1}.get('x') }}|{{ {'x': 1}.get('y', 3) }}|{{ {'x': 5}.values() | list | first }}",
                "1|3|5",
            ),
            ("{{ {'x': ['<é>', 1.5, none]} | tojson }}", "{\"x\": [\"<é>\", 1.5, null]}"),
            ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
            ("{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "13"),
            ("  {% if true %}\nx\n  {% endif %}\n", "x\n"),
        ];
        for (template, want) in cases {
            assert_eq!(render(template), want, "{template}");
        }
    }
}
