//! The screen as a picture for pages: one line of text a row, in the terminal's colours.

use std::fmt::Write as _;

use ratatui::{
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};

/// The buffer as SVG.
pub(super) fn of(buffer: &Buffer) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (width, height) = (u32::from(columns) * COLUMN, u32::from(rows) * ROW + ROW);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"monospace\" font-size=\"{SIZE}\" xml:space=\"preserve\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..rows {
        let y = (u32::from(row) + 1) * ROW;
        let cells = (0..columns).filter_map(|column| buffer.cell((column, row)));
        for (column, style, text) in runs(cells) {
            let (x, length) = (
                column * COLUMN,
                u32::try_from(text.chars().count()).unwrap_or(0),
            );
            // Writing to a string does not fail.
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" textLength=\"{}\" {style}>{}</text>",
                length * COLUMN,
                escape(&text)
            );
        }
    }
    svg + "</svg>\n"
}

/// Neighbours of one style as one text: where it begins, how it looks, what it says.
fn runs<'a>(cells: impl Iterator<Item = &'a Cell>) -> Vec<(u32, String, String)> {
    let mut runs: Vec<(u32, String, String)> = Vec::new();
    for (column, cell) in (0..).zip(cells) {
        let style = look(cell);
        match runs.last_mut() {
            Some((_, before, text)) if *before == style => text.push_str(cell.symbol()),
            _ => runs.push((column, style, cell.symbol().to_owned())),
        }
    }
    runs.into_iter().flat_map(words).collect()
}

/// What stands apart is a text of its own: then no font moves it far from its column.
fn words((begin, style, text): (u32, String, String)) -> Vec<(u32, String, String)> {
    let mut words: Vec<(u32, String, String)> = Vec::new();
    let mut gap = 2;
    for (column, letter) in (begin..).zip(text.chars()) {
        match (letter, words.last_mut()) {
            (' ', _) => gap += 1,
            (letter, Some((_, _, word))) if gap < 2 => {
                word.extend((0..gap).map(|_| ' '));
                word.push(letter);
                gap = 0;
            }
            (letter, _) => {
                words.push((column, style.clone(), letter.to_string()));
                gap = 0;
            }
        }
    }
    words
}

fn look(cell: &Cell) -> String {
    let mut look = format!("fill=\"{}\"", colour(cell.fg));
    if cell.modifier.contains(Modifier::BOLD) {
        look.push_str(" font-weight=\"bold\"");
    }
    if cell.modifier.contains(Modifier::DIM) {
        look.push_str(" opacity=\"0.6\"");
    }
    look
}

fn colour(colour: Color) -> &'static str {
    match colour {
        Color::Red => "#ff6b6b",
        Color::Green => "#69db7c",
        Color::Yellow => "#ffd43b",
        Color::Cyan => "#66d9e8",
        Color::Magenta => "#da77f2",
        _ => "#e9ecef",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const BACKGROUND: &str = "#16181d";
/// The usual width of a monospaced letter is 0.6 of this.
const SIZE: f32 = 13.3;
const COLUMN: u32 = 8;
const ROW: u32 = 18;

#[cfg(test)]
mod tests {
    use ratatui::{layout::Rect, style::Style};

    use super::*;

    #[test]
    fn neighbours_of_one_style_are_one_text_and_marks_are_escaped() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        buffer.set_string(0, 0, "a<b", Style::new().fg(Color::Red));
        buffer.set_string(3, 0, "live", Style::new().fg(Color::Green));
        buffer.set_string(0, 1, "one of   two", Style::new());
        let svg = of(&buffer);
        assert!(
            svg.contains("x=\"0\" y=\"18\" textLength=\"24\" fill=\"#ff6b6b\">a&lt;b<"),
            "{svg}"
        );
        assert!(
            svg.contains("x=\"24\" y=\"18\" textLength=\"32\" fill=\"#69db7c\">live<"),
            "{svg}"
        );
        assert!(
            svg.contains(">one of<") && svg.contains("x=\"72\" y=\"36\""),
            "{svg}"
        );
        assert_eq!(svg.matches("<text").count(), 4, "{svg}");
    }
}
