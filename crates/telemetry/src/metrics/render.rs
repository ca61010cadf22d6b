//! Prometheus' text format, version 0.0.4.

use super::counter;
use super::histogram::Figures;
use super::registry::{Family, Series};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::Ordering;

pub(super) fn families(families: &BTreeMap<String, Family>) -> String {
    let mut out = String::new();
    for (name, family) in families {
        // Writing to a String cannot fail.
        let _ = write_family(&mut out, name, family);
    }
    out
}

fn write_family(out: &mut String, name: &str, family: &Family) -> fmt::Result {
    let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", family.kind)?;
    for (labels, series) in &family.series {
        match series {
            Series::Counter(core) => {
                let Some(core) = core.upgrade() else { continue };
                writeln!(out, "{name}{} {}", Braces(labels, None), counter::total(&core))?;
            }
            Series::Gauge(core) => {
                let Some(core) = core.upgrade() else { continue };
                let value = f64::from_bits(core.load(Ordering::Relaxed));
                writeln!(out, "{name}{} {}", Braces(labels, None), Number(value))?;
            }
            Series::Histogram(core) => {
                let Some(core) = core.upgrade() else { continue };
                write_histogram(out, name, labels, core.bounds, &core.figures())?;
            }
        }
    }
    Ok(())
}

fn write_histogram(
    out: &mut String,
    name: &str,
    labels: &[(String, String)],
    bounds: &[f64],
    figures: &Figures,
) -> fmt::Result {
    let mut count = 0;
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    for (bound, bucket) in bounds.zip(&figures.buckets) {
        count += bucket;
        writeln!(out, "{name}_bucket{} {count}", Braces(labels, Some(bound)))?;
    }
    let braces = Braces(labels, None);
    writeln!(out, "{name}_sum{braces} {}\n{name}_count{braces} {count}", Number(figures.sum))
}

/// `{pool="shop",le="0.5"}`, or nothing when there are no labels.
struct Braces<'a>(&'a [(String, String)], Option<f64>);

impl fmt::Display for Braces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(labels, bound) = self;
        if labels.is_empty() && bound.is_none() {
            return Ok(());
        }
        let mut before = '{';
        for (name, value) in *labels {
            write!(f, "{before}{name}=\"{}\"", Escaped(value))?;
            before = ',';
        }
        if let Some(bound) = bound {
            write!(f, "{before}le=\"{}\"", Number(*bound))?;
        }
        f.write_char('}')
    }
}

/// A label's value: backslash, quote and line feed are escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            char => f.write_char(char),
        })
    }
}

/// As Go's `ParseFloat` reads it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value}"),
        }
    }
}
