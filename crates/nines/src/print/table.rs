//! Columns that line up.

use super::Paint;

/// Rows of cells; a column is as wide as its widest cell, and one of numbers is set to the right.
#[derive(Debug, Default)]
pub(crate) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

const INDENT: &str = "  ";
const GAP: &str = "   ";

impl Table {
    /// A table with these column heads.
    pub(crate) fn new<const COLUMNS: usize>(heads: [&str; COLUMNS]) -> Self {
        Self { heads: heads.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        assert_eq!(cells.len(), self.heads.len(), "a row has as many cells as the table has heads");
        self.rows.push(cells.into());
    }

    /// The table as text, one line a row. Columns in which no row has anything are left out.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let columns: Vec<Column> = (0..self.heads.len()).filter_map(|nth| self.column(nth)).collect();
        let mut text = line(columns.iter().map(|column| {
            let head = self.heads[column.nth].as_str();
            (column.pad(head), paint.faint(head))
        }));
        for row in &self.rows {
            text += &line(columns.iter().map(|column| {
                let cell = row[column.nth].as_str();
                (column.pad(cell), cell.to_owned())
            }));
        }
        text
    }

    fn column(&self, nth: usize) -> Option<Column> {
        let cells = || self.rows.iter().map(|row| row[nth].as_str()).filter(|cell| !cell.is_empty());
        cells().next()?;
        let width = cells().chain([self.heads[nth].as_str()]).map(width).max().unwrap_or(0);
        let right = cells().all(|cell| cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains(':'));
        Some(Column { nth, width, right })
    }
}

struct Column {
    nth: usize,
    width: usize,
    right: bool,
}

impl Column {
    /// The blanks before and after a cell.
    fn pad(&self, cell: &str) -> (usize, usize) {
        let blanks = self.width.saturating_sub(width(cell));
        if self.right { (blanks, 0) } else { (0, blanks) }
    }
}

fn line(cells: impl Iterator<Item = ((usize, usize), String)>) -> String {
    let cells: Vec<String> = cells
        .map(|((before, after), cell)| format!("{}{cell}{}", " ".repeat(before), " ".repeat(after)))
        .collect();
    format!("{INDENT}{}", cells.join(GAP)).trim_end().to_owned() + "\n"
}

/// Characters that take room: all but colour codes.
fn width(text: &str) -> usize {
    let mut in_code = false;
    text.chars()
        .filter(|c| match c {
            '\x1b' => {
                in_code = true;
                false
            }
            'm' if in_code => {
                in_code = false;
                false
            }
            _ => !in_code,
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let mut table = Table::new(["NAME", "REQUESTS", "CAUSE"]);
        table.row(["shop-1".into(), "7".into(), "ok".into()]);
        table.row(["x".into(), "1200".into(), String::new()]);
        let expected = "  NAME     REQUESTS   CAUSE\n  shop-1          7   ok\n  x            1200\n";
        assert_eq!(table.render(Paint::new(false)), expected);
    }

    #[test]
    fn a_column_without_any_cell_is_left_out() {
        let mut table = Table::new(["NAME", "AT", "STATE"]);
        table.row(["a".into(), String::new(), "healthy".into()]);
        assert_eq!(table.render(Paint::new(false)), "  NAME   STATE\n  a      healthy\n");
    }

    #[test]
    fn colours_take_no_room() {
        let paint = Paint::new(true);
        let mut table = Table::new(["A", "B"]);
        table.row([paint.good("up"), "x".into()]);
        table.row(["down".into(), "y".into()]);
        let text = table.render(Paint::new(false));
        assert_eq!(text.lines().nth(1), Some("  \x1b[32mup\x1b[0m     x"));
        assert_eq!(text.lines().nth(2), Some("  down   y"));
    }
}
