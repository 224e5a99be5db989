//! Error messages that point at the shader as it was written, not at its flattened text.

use std::fmt::Write;
use std::rc::Rc;

use naga::Span;

/// The line that a line of flattened text was written on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The path under `shaders/`.
    pub(crate) file: Rc<str>,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// One variant's text after imports, variants and conditions, with the origin of every line.
#[derive(Clone, Debug)]
pub(crate) struct Flat {
    /// The variant's name.
    pub(crate) variant: String,
    /// What naga reads.
    pub(crate) text: String,
    /// The origin of each line of `text`.
    pub(crate) origins: Vec<Origin>,
}

/// An error at one original line.
pub(crate) fn at(origin: &Origin, message: &str) -> String {
    format!("error: {message}\n  --> shaders/{}:{}", origin.file, origin.line)
}

impl Flat {
    /// The lines (from 0) that hold the first and the last byte of `span`.
    pub(crate) fn lines_of(&self, span: Span) -> Option<(usize, usize)> {
        let range = span.to_range()?;
        let line_at = |byte: usize| self.text.as_bytes()[..byte].iter().filter(|b| **b == b'\n').count();
        Some((line_at(range.start), line_at(range.end.saturating_sub(1).max(range.start))))
    }

    /// An error at `span`, or about the whole file where the span is unknown.
    pub(crate) fn error(&self, span: Span, message: &str) -> String {
        self.report(message, &[(span, "")], &[])
    }

    /// What the front end refused.
    pub(crate) fn parse_error(&self, error: &naga::front::wgsl::ParseError) -> String {
        let labels: Vec<_> = error.labels().collect();
        let notes: Vec<_> = error.notes().map(str::to_owned).collect();
        self.report(error.message(), &labels, &notes)
    }

    /// What the validator refused. naga wraps a cause in what contains it: the narrowest span is where it is.
    pub(crate) fn validation_error(&self, error: &naga::WithSpan<naga::valid::ValidationError>) -> String {
        let mut labels: Vec<_> = error.spans().map(|(span, text)| (*span, text.as_str())).collect();
        labels.sort_by_key(|(span, _)| span.to_range().map_or(usize::MAX, |range| range.len()));
        let mut notes = Vec::new();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error.as_inner());
        while let Some(next) = cause {
            notes.push(next.to_string());
            cause = next.source();
        }
        self.report(&error.as_inner().to_string(), &labels, &notes)
    }

    fn report(&self, message: &str, labels: &[(Span, &str)], notes: &[String]) -> String {
        let mut out = format!("error: {message} (variant {})", self.variant);
        if !labels.iter().any(|(span, _)| span.is_defined()) {
            let file = self.origins.last().map_or("", |origin| &origin.file);
            let _ = write!(out, "\n  --> shaders/{file}");
        }
        for (span, label) in labels {
            // naga's default labels name a handle of its arenas.
            let label = if label.starts_with("naga::") { "" } else { label };
            let (Some(range), Some((first, _))) = (span.to_range(), self.lines_of(*span)) else { continue };
            let Some(origin) = self.origins.get(first).or(self.origins.last()) else { continue };
            let start = self.text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
            let line = self.text[start..].lines().next().unwrap_or("");
            let before = line[..(range.start - start).min(line.len())].chars().count();
            let width = range.len().min((start + line.len()).saturating_sub(range.start)).max(1);
            let number = origin.line.to_string();
            let margin = " ".repeat(number.len());
            let _ = write!(
                out,
                "\n{margin} --> shaders/{}:{}:{}\n{margin} |\n{number} | {line}\n{margin} | {}{}{}{label}",
                origin.file,
                origin.line,
                before + 1,
                " ".repeat(before),
                "^".repeat(width),
                if label.is_empty() { "" } else { " " },
            );
        }
        for note in notes {
            let _ = write!(out, "\n  = note: {note}");
        }
        out
    }
}
