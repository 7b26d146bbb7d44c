//! A plot of lines as SVG that needs nothing else: no script, no font, no style but the page's.

use std::fmt::Write;

use super::html::escaped;
use super::number;
use super::scale::{Scale, Span};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 48.0;
/// Colours that people who see few of them can tell apart. Source: Okabe and Ito 2008, "Color Universal
/// Design".
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#808080",
];
/// Beyond so many points, a line has no marks at them.
const MARKED_POINTS_MAX: usize = 40;

/// Lines over one pair of axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// What is shown.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One of a plot's two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What its values are, with their unit.
    pub label: String,
    /// How they lie along it.
    pub scale: Scale,
}

impl Axis {
    /// An axis.
    #[must_use]
    pub fn new(label: &str, scale: Scale) -> Self {
        Self {
            label: label.to_owned(),
            scale,
        }
    }
}

/// Points in the order in which they are joined.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What the line shows.
    pub name: String,
    /// To the right and upwards.
    pub points: Vec<(f64, f64)>,
}

/// Where the points of a plot go.
struct Frame<'a> {
    plot: &'a Plot,
    x: Span,
    y: Span,
}

impl Plot {
    /// The plot and what its lines are, as a `figure`.
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|it| &it.points);
        let frame = Frame {
            plot: self,
            x: Span::of(self.x.scale, points().map(|it| it.0)),
            y: Span::of(self.y.scale, points().map(|it| it.1)),
        };
        let mut out = String::from("<figure>\n");
        // Writing into a string cannot fail.
        let _written = frame.write(&mut out);
        out.push_str("</figure>\n");
        out
    }
}

impl Frame<'_> {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let title = escaped(&self.plot.title);
        writeln!(out, "<figcaption>{title}</figcaption>")?;
        writeln!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        )?;
        self.write_x_axis(out)?;
        self.write_y_axis(out)?;
        for (index, line) in self.plot.lines.iter().enumerate() {
            self.write_line(out, line, COLOURS[index % COLOURS.len()])?;
        }
        out.push_str("</svg>\n<ul class=\"legend\">\n");
        for (index, line) in self.plot.lines.iter().enumerate() {
            let (colour, name) = (COLOURS[index % COLOURS.len()], escaped(&line.name));
            writeln!(
                out,
                "<li><span style=\"background: {colour}\"></span>{name}</li>"
            )?;
        }
        out.push_str("</ul>\n");
        Ok(())
    }

    fn write_x_axis(&self, out: &mut String) -> std::fmt::Result {
        let bottom = HEIGHT - BOTTOM;
        for mark in self.x.marks() {
            if let Some(x) = self.x_of(mark) {
                let text = number(mark);
                writeln!(
                    out,
                    "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
                     <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                    bottom + 18.0
                )?;
            }
        }
        let (middle, label) = (
            f64::midpoint(LEFT, WIDTH - RIGHT),
            escaped(&self.plot.x.label),
        );
        writeln!(
            out,
            "<text class=\"label\" x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            HEIGHT - 8.0
        )
    }

    fn write_y_axis(&self, out: &mut String) -> std::fmt::Result {
        let right = WIDTH - RIGHT;
        for mark in self.y.marks() {
            if let Some(y) = self.y_of(mark) {
                let text = number(mark);
                writeln!(
                    out,
                    "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                    LEFT - 8.0,
                    y + 4.0
                )?;
            }
        }
        let label = escaped(&self.plot.y.label);
        writeln!(out, "<text class=\"label\" x=\"4\" y=\"14\">{label}</text>")
    }

    fn write_line(&self, out: &mut String, line: &Line, colour: &str) -> std::fmt::Result {
        let placed = line.points.iter().filter_map(|&(x, y)| {
            let place = (self.x_of(x)?, self.y_of(y)?);
            Some((place, (x, y)))
        });
        let placed: Vec<_> = placed.collect();
        let path = placed.iter().map(|((x, y), _)| format!("{x:.1},{y:.1}"));
        let path = path.collect::<Vec<_>>().join(" ");
        writeln!(out, "<polyline points=\"{path}\" stroke=\"{colour}\"/>")?;
        if placed.len() > MARKED_POINTS_MAX {
            return Ok(());
        }
        for ((place_x, place_y), (x, y)) in placed {
            let (name, x, y) = (escaped(&line.name), number(x), number(y));
            writeln!(
                out,
                "<circle cx=\"{place_x:.1}\" cy=\"{place_y:.1}\" r=\"4\" fill=\"{colour}\">\
                 <title>{name}: {y} at {x}</title></circle>"
            )?;
        }
        Ok(())
    }

    fn x_of(&self, value: f64) -> Option<f64> {
        let place = self.x.place(value)?;
        Some(LEFT + place * (WIDTH - LEFT - RIGHT))
    }

    fn y_of(&self, value: f64) -> Option<f64> {
        let place = self.y.place(value)?;
        Some(HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM))
    }
}
