//! `$GENERATE start-stop[/step] owner [TTL] [class] type data`, as BIND has it: `$` is the number, `${offset,width,base}` the number
//! as it is wanted, `\$` a dollar.

use super::token::{Scanner, Token, Wrong};

/// Digits that a number is filled up to at most: a name has no room for more.
const WIDTH_MAX: usize = 255;

/// Makes the lines and gives each to `each`. `first` is the directive, after which `scanner` stands.
pub(super) fn generate(
    first: &Token<'_>,
    scanner: &mut Scanner<'_>,
    generated_max: usize,
    mut each: impl FnMut(&[u8]) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let range = scanner.next()?.ok_or_else(|| first.wrong("$GENERATE needs a range, as 1-100"))?;
    let (start, stop, step) = parse_range(range.bytes)
        .ok_or_else(|| range.wrong("a range is `start-stop` or `start-stop/step`"))?;
    let count = (stop - start) / step + 1;
    if count > generated_max as u64 {
        return Err(range.wrong(format!("$GENERATE makes {count} records (max {generated_max})")));
    }
    let mut parts = Vec::new();
    while let Some(token) = scanner.next()? {
        parts.push(token);
    }
    let mut line = Vec::new();
    for number in (start..=stop).step_by(step as usize) {
        line.clear();
        for part in &parts {
            if !line.is_empty() {
                line.push(b' ');
            }
            if part.is_quoted {
                line.push(b'"');
            }
            expand(part, number as i64, &mut line)?;
            if part.is_quoted {
                line.push(b'"');
            }
        }
        // A fault in what was made stands at the directive.
        each(&line).map_err(|wrong| Wrong { line: first.line, column: first.column, ..wrong })?;
    }
    Ok(())
}

fn parse_range(text: &[u8]) -> Option<(u64, u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (range, step) = text.split_once('/').unwrap_or((text, "1"));
    let (start, stop) = range.split_once('-')?;
    let [start, stop, step] = [start, stop, step].map(|number| number.parse::<u32>().ok().map(u64::from));
    let (start, stop, step) = (start?, stop?, step?);
    (start <= stop && step > 0).then_some((start, stop, step))
}

fn expand(part: &Token<'_>, number: i64, line: &mut Vec<u8>) -> Result<(), Wrong> {
    let mut rest = part.bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.first()) {
            (b'\\', Some(b'$')) => {
                line.push(b'$');
                rest = &after[1..];
            }
            (b'\\', Some(&escaped)) => {
                line.extend_from_slice(&[b'\\', escaped]);
                rest = &after[1..];
            }
            (b'$', Some(b'{')) => {
                let broken = || {
                    part.wrong("`${…}` is `${offset}`, `${offset,width}` or `${offset,width,base}` with base d, o, x or X")
                };
                let end = after.iter().position(|byte| *byte == b'}').ok_or_else(broken)?;
                formatted(&after[1..end], number, line).ok_or_else(broken)?;
                rest = &after[end + 1..];
            }
            (b'$', _) => line.extend_from_slice(number.to_string().as_bytes()),
            _ => line.push(byte),
        }
    }
    Ok(())
}

fn formatted(form: &[u8], number: i64, line: &mut Vec<u8>) -> Option<()> {
    let mut fields = std::str::from_utf8(form).ok()?.split(',');
    let offset: i32 = fields.next()?.parse().ok()?;
    let width: usize = fields.next().map_or(Some(0), |width| width.parse().ok())?;
    let value = number + i64::from(offset);
    if value < 0 || width > WIDTH_MAX {
        return None;
    }
    let text = match fields.next().unwrap_or("d") {
        "d" => format!("{value:0width$}"),
        "o" => format!("{value:0width$o}"),
        "x" => format!("{value:0width$x}"),
        "X" => format!("{value:0width$X}"),
        _ => return None,
    };
    if fields.next().is_some() {
        return None;
    }
    line.extend_from_slice(text.as_bytes());
    Some(())
}
