//! Cells of a terminal to draw into: letters, or braille dots, eight to a cell.

use std::fmt::Write;

/// ANSI colours, which each terminal fits to its background: blue, yellow, green, magenta, red, cyan.
const COLORS: [u8; 6] = [34, 33, 32, 35, 31, 36];

/// The bits of a braille letter's dots, four rows of two.
const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

#[derive(Clone, Copy, Default)]
struct Cell {
    letter: Option<char>,
    dots: u8,
    color: Option<usize>,
}

/// Rows of cells. Whatever is drawn outside is ignored.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    cells: Vec<Cell>,
}

impl Canvas {
    pub fn new(width: u16, height: u16) -> Self {
        let [width, height] = [width, height].map(usize::from);
        Self { width, height, cells: vec![Cell::default(); width * height] }
    }

    fn cell(&mut self, x: usize, y: usize) -> Option<&mut Cell> {
        if x < self.width { self.cells.get_mut(y * self.width + x) } else { None }
    }

    /// Writes a text from a cell on, to the right.
    pub fn text(&mut self, x: usize, y: usize, text: &str, color: Option<usize>) {
        for (i, letter) in text.chars().enumerate() {
            if let Some(cell) = self.cell(x + i, y) {
                *cell = Cell { letter: Some(letter), dots: 0, color };
            }
        }
    }

    /// Sets a dot, unless its cell has a letter; a cell is two dots wide and four high.
    pub fn dot(&mut self, x: usize, y: usize, color: usize) {
        if let Some(cell) = self.cell(x / 2, y / 4)
            && cell.letter.is_none()
        {
            cell.dots |= DOTS[y % 4][x % 2];
            cell.color = Some(color);
        }
    }

    /// Sets the dots of a straight line.
    pub fn line(&mut self, from: (usize, usize), to: (usize, usize), color: usize) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let between = |a: usize, b: usize, i: usize| (a * (steps - i) + b * i + steps / 2) / steps;
        for i in 0..=steps {
            self.dot(between(from.0, to.0, i), between(from.1, to.1, i), color);
        }
    }

    /// The rows, each ended by a line feed; coloured by escape sequences.
    pub fn render(&self, colored: bool) -> String {
        let mut out = String::new();
        for y in 0..self.height {
            let mut line = String::new();
            for cell in &self.cells[y * self.width..(y + 1) * self.width] {
                let braille = char::from_u32(0x2800 + u32::from(cell.dots)).filter(|_| cell.dots > 0);
                let letter = cell.letter.or(braille).unwrap_or(' ');
                let _ = match cell.color.filter(|_| colored) {
                    Some(color) => write!(line, "\x1b[{}m{letter}\x1b[0m", COLORS[color % COLORS.len()]),
                    None => write!(line, "{letter}"),
                };
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_dots_and_a_letter_stays() {
        let mut canvas = Canvas::new(3, 2);
        canvas.text(1, 0, "abc", None);
        canvas.line((0, 0), (5, 7), 0);
        canvas.dot(6, 0, 0);
        canvas.dot(0, 8, 0);
        // One of the line's eight dots is hidden by a letter.
        assert_eq!(canvas.render(false), "⠱ab\n ⠈⢆\n");
        assert!(canvas.render(true).starts_with("\x1b[34m⠱\x1b[0mab\n"));
    }
}
