//! The pages, as far as the tests must read Markdown.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// A page of the documentation.
pub(crate) struct Page {
    /// From the workspace's folder on.
    pub(crate) path: String,
    text: String,
}

/// A fenced block of shell commands.
pub(crate) struct Block {
    pub(crate) page: String,
    pub(crate) info: String,
    pub(crate) text: String,
}

/// The README, the architecture and all of docs/.
pub(crate) fn pages() -> Vec<Page> {
    let files = std::fs::read_dir(root().join("docs")).unwrap();
    let names = files.map(|it| it.unwrap().file_name().into_string().unwrap());
    let docs = names.map(|it| format!("docs/{it}"));
    let fixed = ["README.md", "crates/README.md"].map(str::to_owned);
    fixed
        .into_iter()
        .chain(docs)
        .map(|it| Page::read(&it))
        .collect()
}

impl Page {
    pub(crate) fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let path = path.to_owned();
        Self { path, text }
    }

    /// The blocks whose info string begins with `sh`.
    pub(crate) fn shell_blocks(&self) -> Vec<Block> {
        let parts = self.text.split("```").skip(1).step_by(2);
        let split = parts.filter_map(|it| it.split_once('\n'));
        let shell = split.filter(|(info, _)| info.split(' ').next() == Some("sh"));
        let block = |(info, text): (&str, &str)| Block {
            page: self.path.clone(),
            info: info.to_owned(),
            text: text.to_owned(),
        };
        shell.map(block).collect()
    }

    /// Everything but the fenced blocks.
    fn prose(&self) -> String {
        self.text.split("```").step_by(2).collect()
    }

    /// What stands between backticks.
    pub(crate) fn spans(&self) -> Vec<String> {
        spans_of(&self.prose())
    }

    /// Whether `word` stands here and is not part of a longer one.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        let mut words = self
            .text
            .split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        words.any(|it| it == word)
    }

    /// What stands between backticks in a column of the section's tables.
    pub(crate) fn cells(&self, section: &str, column: usize) -> BTreeSet<String> {
        let (_, rest) = self
            .text
            .split_once(&format!("\n## {section}\n"))
            .unwrap_or_else(|| panic!("{} has no section {section}", self.path));
        let body = rest.split("\n## ").next().unwrap();
        let rows = body.lines().filter(|it| it.starts_with("| "));
        let cells = rows.filter_map(|it| it.split(" | ").nth(column));
        cells.flat_map(spans_of).collect()
    }

    /// The cells of all tables' rows, without their heads.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut rows = Vec::new();
        for table in lines.split(|it| !it.starts_with('|')) {
            let cells = |line: &&str| {
                let inner = line.trim_start_matches("| ").trim_end_matches('|');
                inner.split('|').map(|it| it.trim().to_owned()).collect()
            };
            rows.extend(table.iter().skip(2).map(cells));
        }
        rows
    }

    /// [`Page::cells`] of the first column.
    pub(crate) fn first_cells(&self, section: &str) -> BTreeSet<String> {
        self.cells(section, 0)
    }

    /// The targets of all links.
    pub(crate) fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1);
        targets
            .map(|it| it.split(')').next().unwrap().to_owned())
            .collect()
    }

    /// Whether a link from here leads to a file, and to a heading in it if it names one.
    pub(crate) fn resolves(&self, link: &str) -> bool {
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let own = root().join(&self.path);
        let target = match file {
            "" => own,
            _ => own.parent().unwrap().join(file),
        };
        let Ok(text) = std::fs::read_to_string(target) else {
            return false;
        };
        let mut headings = text.lines().filter(|it| it.starts_with('#'));
        heading.is_empty() || headings.any(|it| anchor_of(it) == heading)
    }
}

fn spans_of(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}

fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim();
    let is_kept = |it: &char| it.is_alphanumeric() || " -_".contains(*it);
    let kept: String = words.chars().filter(is_kept).collect();
    kept.to_lowercase().replace(' ', "-")
}
