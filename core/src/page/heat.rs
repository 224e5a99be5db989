//! Tables, and heat maps that are tables: a number in every cell, its colour by where it lies between the least and the greatest.

use std::fmt::Write;

use super::{escape, number};

/// The colour's opacity of the best cell: below 1, so that the number stays readable.
const OPACITY: f64 = 0.6;

/// A table; everything is text.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    let head = cells("th", &mut head.iter().copied());
    let rows: String = rows.iter().map(|row| cells("td", &mut row.iter().map(String::as_str))).collect();
    format!("<div class=\"scroll\"><table>{head}{rows}</table></div>")
}

/// A heat map: `values` by row, then column; `None` is an empty cell. Cells that are `marked` have a frame.
pub(crate) fn map(
    title: &str,
    (row_name, rows): (&str, &[String]),
    (column_name, columns): (&str, &[String]),
    values: impl Fn(usize, usize) -> Option<f64>,
    marked: impl Fn(usize, usize) -> bool,
) -> String {
    let all = (0..rows.len()).flat_map(|row| (0..columns.len()).map(move |column| (row, column)));
    let finite: Vec<f64> =
        all.filter_map(|(row, column)| values(row, column)).filter(|v| v.is_finite()).collect();
    let least = finite.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut out = format!(
        "<figure><figcaption>{}<span>rows: {}; columns: {}</span></figcaption><div class=\"scroll\"><table class=\"heat\"><tr><th></th>",
        escape(title),
        escape(row_name),
        escape(column_name)
    );
    columns.iter().for_each(|column| {
        let _ = write!(out, "<th>{}</th>", escape(column));
    });
    out.push_str("</tr>");
    for (i, row) in rows.iter().enumerate() {
        let _ = write!(out, "<tr><th>{}</th>", escape(row));
        for j in 0..columns.len() {
            let Some(value) = values(i, j) else {
                out.push_str("<td></td>");
                continue;
            };
            let share = if greatest > least && value.is_finite() {
                (value - least) / (greatest - least)
            } else {
                0.0
            };
            let frame = if marked(i, j) { " class=\"marked\"" } else { "" };
            let _ = write!(out, "<td{frame} style=\"--a:{:.3}\">{}</td>", share * OPACITY, number(value));
        }
        out.push_str("</tr>");
    }
    out + "</table></div></figure>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_value_has_the_full_colour_and_the_marked_cell_its_frame() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let value = |i: usize, j: usize| [[Some(1.0), Some(2.0)], [None, Some(3.0)]][i][j];
        let (rows, columns) = (names(&["r<", "s"]), names(&["0.1", "1"]));
        let html = map("AUC", ("beta", &rows), ("lr", &columns), value, |i, j| (i, j) == (1, 1));
        assert!(html.contains("<td class=\"marked\" style=\"--a:0.600\">3</td>"), "{html}");
        assert!(html.contains("<td style=\"--a:0.000\">1</td><td style=\"--a:0.300\">2</td>"), "{html}");
        assert!(html.contains("<td></td>") && html.contains("r&lt;"));
        let flat = map("", ("", &rows), ("", &columns), |_, _| Some(f64::NAN), |_, _| false);
        assert!(flat.contains("--a:0.000") && flat.contains("not finite"));
    }
}
