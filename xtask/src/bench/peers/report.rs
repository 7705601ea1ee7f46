//! The table, its footnotes, and the same for machines.

use serde_json::json;

use super::peer::Outcome;

/// One figure of everybody.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) cells: Vec<Outcome<f64>>,
}

pub(super) struct Report {
    pub(super) names: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
    /// Who is not in the table, and why.
    pub(super) absent: Vec<(&'static str, String)>,
    pub(super) versions: String,
}

impl Report {
    pub(super) fn as_table(&self) -> String {
        let notes = self.notes();
        let mut lines: Vec<Vec<String>> = Vec::new();
        let head = self.names.iter().map(|name| (*name).to_owned());
        lines.push([String::new(), "unit".to_owned()].into_iter().chain(head).collect());
        for row in &self.rows {
            let mut line = vec![row.what.to_owned(), row.unit.to_owned()];
            for (name, cell) in self.names.iter().zip(&row.cells) {
                let mark = |reason: &String| {
                    notes.iter().position(|n| *n == (*name, reason)).unwrap_or(0) + 1
                };
                line.push(cell.as_ref().map_or_else(
                    |reason| format!("- [{}]", mark(reason)),
                    |figure| shown(*figure),
                ));
            }
            lines.push(line);
        }
        let mut text = aligned(&lines);
        text.push('\n');
        for (number, (name, reason)) in notes.iter().enumerate() {
            text += &format!("[{}] {name}: {reason}\n", number + 1);
        }
        for (name, reason) in &self.absent {
            text += &format!("{name}: not in the table: {reason}\n");
        }
        text + &format!("Versions: {}\n", self.versions)
    }

    pub(super) fn as_json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let cells = self.names.iter().zip(&row.cells);
            let values: serde_json::Map<_, _> =
                cells.map(|(name, cell)| ((*name).to_owned(), json!(cell.as_ref().ok()))).collect();
            json!({"what": row.what, "unit": row.unit, "values": values})
        });
        let notes = self.notes();
        let notes: Vec<_> =
            notes.iter().map(|(name, reason)| json!({"peer": name, "reason": reason})).collect();
        let absent =
            self.absent.iter().map(|(name, reason)| json!({"peer": name, "reason": reason}));
        let absent: Vec<_> = absent.collect();
        json!({"rows": rows.collect::<Vec<_>>(), "notes": notes, "absent": absent, "versions": self.versions})
            .to_string()
    }

    /// Why there is no figure, each once a peer.
    fn notes(&self) -> Vec<(&'static str, &String)> {
        let mut notes = Vec::new();
        for row in &self.rows {
            for (name, cell) in self.names.iter().zip(&row.cells) {
                if let Err(reason) = cell
                    && !notes.contains(&(*name, reason))
                {
                    notes.push((*name, reason));
                }
            }
        }
        notes
    }
}

/// Three digits that count, or all before the point.
fn shown(figure: f64) -> String {
    let places = match figure.abs() {
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{figure:.places$}")
}

/// The first two columns to the left, figures to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        lines.iter().filter_map(|line| Some(line.get(column)?.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_cannot_do_is_a_dash_with_its_reason() {
        let cannot = || Err("runs no Python".to_owned());
        let row = |what, cells| Row { what, unit: "ms", cells };
        let report = Report {
            names: vec!["nilas", "other"],
            rows: vec![
                row("cold", vec![Ok(4.567), cannot()]),
                row("warm", vec![Ok(1234.5), cannot()]),
            ],
            absent: vec![("third", "not installed: no network".to_owned())],
            versions: "other 1".to_owned(),
        };
        let expected = "      unit  nilas  other\n\
            cold  ms     4.57  - [1]\n\
            warm  ms     1234  - [1]\n\
            \n\
            [1] other: runs no Python\n\
            third: not in the table: not installed: no network\n\
            Versions: other 1\n";
        assert_eq!(report.as_table(), expected);
    }
}
