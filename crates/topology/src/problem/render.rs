//! Problems as a compiler shows them: the line, what is wrong in it, and what helps.

use super::place::floor;
use super::{Level, Lines, Problem};
use annotate_snippets::{AnnotationKind, Group, Level as Mark, Origin, Renderer, Snippet};

/// More than these are counted, not shown: nobody reads the hundredth.
const SHOWN_MAX: usize = 50;

/// A longer line is shown in part, around the place.
const LINE_BYTES_MAX: usize = 2048;

pub(super) fn render(problems: &[Problem], text: &str, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let lines = Lines::of(text);
    let mut out = String::new();
    for problem in problems.iter().take(SHOWN_MAX) {
        out.push_str(&renderer.render(&[group(problem, &lines)]));
        out.push_str("\n\n");
    }
    if problems.len() > SHOWN_MAX {
        out.push_str(&format!("… and {} more\n", problems.len() - SHOWN_MAX));
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

fn group<'a>(problem: &'a Problem, lines: &Lines<'a>) -> Group<'a> {
    let level = match problem.level {
        Level::Error => Mark::ERROR,
        Level::Warning => Mark::WARNING,
    };
    let path = problem.file.to_string_lossy();
    let mut group = Group::with_title(level.primary_title(problem.message.as_str()));
    group = match (&problem.span, problem.line) {
        (Some(span), Some(line)) => {
            let (start, shown) = lines.line(line);
            // Only the first line of a place is shown, so the excerpt needs no more of the file.
            let from = span.start.saturating_sub(start).min(shown.len());
            let to = span.end.saturating_sub(start).clamp(from, shown.len());
            let (shown, cut) = excerpt(shown, from);
            let from = floor(shown, from - cut);
            let to = floor(shown, to - cut).max(from);
            group.element(
                Snippet::source(shown)
                    .path(path)
                    .line_start(line)
                    .annotation(AnnotationKind::Primary.span(from..to)),
            )
        }
        // A file that is not shown.
        (_, line) => {
            let origin = Origin::path(path);
            group.element(match (line, problem.column) {
                (None, _) => origin,
                (Some(line), None) => origin.line(line),
                (Some(line), Some(column)) => origin.line(line).char_column(column),
            })
        }
    };
    match &problem.help {
        Some(help) => group.element(Mark::HELP.message(help.as_str())),
        None => group,
    }
}

/// The part of a line around a byte, and how many bytes were cut off before it.
fn excerpt(line: &str, from: usize) -> (&str, usize) {
    if line.len() <= LINE_BYTES_MAX {
        return (line, 0);
    }
    let cut = floor(line, from.saturating_sub(LINE_BYTES_MAX / 2));
    (&line[cut..floor(line, cut + LINE_BYTES_MAX)], cut)
}
