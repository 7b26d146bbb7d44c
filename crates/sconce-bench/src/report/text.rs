//! A report for the terminal.

use super::{Report, Table};

impl Report {
    /// Facts and tables in aligned columns, and the notes.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![self.title.clone()];
        let width = self.facts.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or(0);
        let facts = self.facts.iter();
        lines.extend(facts.map(|(name, fact)| format!("  {name:width$}  {fact}")));
        for table in &self.tables {
            lines.push(String::new());
            lines.push(table.title.clone());
            lines.extend(table.lines());
        }
        if !self.notes.is_empty() {
            lines.push(String::new());
            lines.extend(self.notes.iter().cloned());
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

impl Table {
    fn lines(&self) -> Vec<String> {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            let cells = all().filter_map(|row| row.get(column));
            cells.map(|it| it.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            format!("  {}", cells.collect::<Vec<_>>().join("  "))
        };
        all().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_their_characters() {
        let cells = |row: [&str; 3]| row.map(str::to_owned).to_vec();
        let table = Table {
            title: "t".to_owned(),
            head: cells(["name", "µs", "share"]),
            rows: vec![cells(["a", "1,000", "5 %"]), cells(["longer", "2", "50 %"])],
        };
        let expected = [
            "  name       µs  share",
            "  a       1,000    5 %",
            "  longer      2   50 %",
        ];
        assert_eq!(table.lines(), expected);
    }
}
