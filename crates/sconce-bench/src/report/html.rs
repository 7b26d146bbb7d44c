//! A report as one page that can be kept, sent and read without a network: plots are drawn into it, and
//! it runs no script. It is well-formed as XML, too.

use std::fmt::Write;

use super::{Report, Table};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1a1a1a; --faint: #6b6b6b; --rule: #dcdcdc; --paper: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --faint: #9b9b9b; --rule: #3a3a3a; --paper: #161616; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1400px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; } h2 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.5rem; }
dt { color: var(--faint); } dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.9rem; text-align: right; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--faint); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 2rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--faint); }
svg .label { fill: var(--ink); } svg .grid { stroke: var(--rule); }
svg polyline { fill: none; stroke-width: 2; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; padding: 0; margin: 0; }
.legend span { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.4em; }
footer { color: var(--faint); margin-top: 2.5rem; }
";

impl Report {
    /// The whole page.
    #[must_use]
    pub fn html(&self) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        let _written = self.write_html(&mut out);
        out
    }

    fn write_html(&self, out: &mut String) -> std::fmt::Result {
        let title = escaped(&self.title);
        writeln!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<dl>"
        )?;
        for (name, fact) in &self.facts {
            let (name, fact) = (escaped(name), escaped(fact));
            writeln!(out, "<dt>{name}</dt><dd>{fact}</dd>")?;
        }
        out.push_str("</dl>\n");
        for table in &self.tables {
            table.write_html(out)?;
        }
        out.push_str("<h2>Plots</h2>\n<div class=\"plots\">\n");
        self.plots.iter().for_each(|it| out.push_str(&it.svg()));
        out.push_str("</div>\n<footer>\n");
        for note in &self.notes {
            writeln!(out, "<p>{}</p>", escaped(note))?;
        }
        let version = env!("CARGO_PKG_VERSION");
        writeln!(
            out,
            "<p>Measured by sconce {version}.</p>\n</footer>\n</body>\n</html>"
        )
    }
}

impl Table {
    fn write_html(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "<h2>{}</h2>\n<div class=\"wide\"><table>",
            escaped(&self.title)
        )?;
        let cells = |row: &[String], name: &str| {
            let cells = row
                .iter()
                .map(|it| format!("<{name}>{}</{name}>", escaped(it)));
            cells.collect::<String>()
        };
        writeln!(
            out,
            "<thead><tr>{}</tr></thead>\n<tbody>",
            cells(&self.head, "th")
        )?;
        for row in &self.rows {
            writeln!(out, "<tr>{}</tr>", cells(row, "td"))?;
        }
        writeln!(out, "</tbody></table></div>")
    }
}

/// `text` with what would end it or begin something replaced, for elements and attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no way to write these.
            it if it.is_control() && !matches!(it, '\n' | '\t') => out.push('\u{fffd}'),
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Line, Plot, Scale};
    use super::*;

    const HOSTILE: &str = "a <script>alert('1')</script> & \"b\" \u{1}";

    fn report() -> Report {
        let line = |points: Vec<(f64, f64)>| Line {
            name: HOSTILE.to_owned(),
            points,
        };
        Report {
            title: HOSTILE.to_owned(),
            facts: vec![(HOSTILE.to_owned(), HOSTILE.to_owned())],
            tables: vec![Table {
                title: HOSTILE.to_owned(),
                head: vec![HOSTILE.to_owned(); 2],
                rows: vec![vec![HOSTILE.to_owned(); 2]],
            }],
            plots: vec![Plot {
                title: HOSTILE.to_owned(),
                x: Axis::new(HOSTILE, Scale::Sizes),
                y: Axis::new(HOSTILE, Scale::Linear),
                lines: vec![
                    line(vec![(1.0, 10.0), (8.0, 70.0)]),
                    line(vec![]),
                    line(vec![(0.0, f64::NAN), (4.0, f64::INFINITY)]),
                ],
            }],
            notes: vec![HOSTILE.to_owned()],
        }
    }

    /// The names of the elements, if each is closed in its turn and attributes are quoted.
    fn elements(page: &str) -> Vec<String> {
        let (mut open, mut names): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let body = page.strip_prefix("<!DOCTYPE html>").unwrap();
        for part in body.split('<').skip(1) {
            let (tag, _) = part
                .split_once('>')
                .unwrap_or_else(|| panic!("<{part} has no end"));
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name), "in <{part}");
                continue;
            }
            let name = tag.split([' ', '/']).next().unwrap().to_owned();
            assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
            assert_eq!(
                tag.matches('=').count() * 2,
                tag.matches('"').count() + 2 * equals(tag)
            );
            if !tag.ends_with('/') {
                open.push(name.clone());
            }
            names.push(name);
        }
        assert!(open.is_empty(), "{open:?} stay open");
        names
    }

    /// Equal signs within values.
    fn equals(tag: &str) -> usize {
        let values = tag.split('"').skip(1).step_by(2);
        values.map(|it| it.matches('=').count()).sum()
    }

    #[test]
    fn the_page_is_well_formed_whatever_it_tells_of_and_asks_for_nothing_elsewhere() {
        let page = report().html();
        let names = elements(&page);
        for name in ["html", "table", "svg", "polyline", "circle", "footer"] {
            assert!(names.iter().any(|it| it == name), "{name} is missing");
        }
        assert!(
            !names
                .iter()
                .any(|it| matches!(it.as_str(), "script" | "link" | "img"))
        );
        for word in [
            "http:", "https:", "src=", "@import", "url(", "\u{1}", "NaN", "inf",
        ] {
            assert!(!page.contains(word), "{word:?} in\n{page}");
        }
    }

    #[test]
    fn points_lie_within_the_picture_and_those_without_a_place_are_left_out() {
        let page = report().html();
        let circles = page.split("<circle cx=\"").skip(1);
        let places: Vec<(f64, f64)> = circles
            .map(|it| {
                let mut numbers = it.split('"').step_by(2).map(|it| it.parse().unwrap());
                (numbers.next().unwrap(), numbers.next().unwrap())
            })
            .collect();
        assert_eq!(places.len(), 2);
        assert!(
            places
                .iter()
                .all(|(x, y)| (0.0..640.0).contains(x) && (0.0..340.0).contains(y))
        );
        assert!(places[0].0 < places[1].0 && places[0].1 > places[1].1);
    }
}
