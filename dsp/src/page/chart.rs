//! Test pages of our own, drawn from a seed: a business letter with heading, rule, address, paragraphs, signature line, stamp box and
//! rulers at two edges. The same seed gives the same page everywhere; another seed gives other words and another stamp, so pages that
//! were mixed up on the way are seen. Page number and seed stand on the page for a person to read.

use super::{Page, PageError, Resolution};

/// What to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Chooses words and stamp, and is printed.
    pub seed: u64,
    /// From 1, printed.
    pub page_number: u32,
    /// Printed.
    pub pages: u32,
    /// Pels of a row; 1728 is A4.
    pub columns: u32,
    /// Rows; 1145 are A4 at standard resolution. What does not fit is cut off at the bottom.
    pub rows: u32,
    /// Letters keep their size on paper.
    pub resolution: Resolution,
    /// How much text.
    pub text: Text,
}

/// How much text a letter has: how long it takes on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// One short paragraph.
    Light,
    /// Close lines down to the stamp.
    Dense,
}

impl Letter {
    /// A light A4 letter at standard resolution.
    pub fn new(seed: u64, page_number: u32, pages: u32) -> Letter {
        let resolution = Resolution::STANDARD;
        Letter { seed, page_number, pages, columns: 1728, rows: 1145, resolution, text: Text::Light }
    }
    /// The same letter on less (or more) paper.
    pub fn with_rows(self, rows: u32) -> Letter {
        Letter { rows, ..self }
    }
    /// Draws it.
    pub fn draw(&self) -> Result<Page, PageError> {
        let mut pen = Pen {
            page: Page::white(self.columns, self.rows, self.resolution)?,
            dice: Dice(self.seed ^ u64::from(self.page_number) << 56),
            x_dpi: u32::from(self.resolution.x_dpi),
            y_dpi: u32::from(self.resolution.y_dpi),
        };
        pen.rulers();
        let mut y = pen.heading(self);
        y = pen.address(y);
        y = pen.body(y, self.text);
        pen.foot(y, self);
        Ok(pen.page)
    }
}

const LEFT_MM: u32 = 20;
const RIGHT_MM: u32 = 18;
/// Body letters: 7 dots of this many hundredths of a millimetre, about 10 point.
const BODY_DOT: u32 = 46;
const HEADING_DOT: u32 = 110;

struct Pen {
    page: Page,
    dice: Dice,
    x_dpi: u32,
    y_dpi: u32,
}

impl Pen {
    /// Columns of hundredths of a millimetre.
    fn x(&self, mm100: u32) -> u32 {
        mm100 * self.x_dpi / 2540
    }
    /// Rows of hundredths of a millimetre.
    fn y(&self, mm100: u32) -> u32 {
        mm100 * self.y_dpi / 2540
    }
    /// A rectangle that is never thinner than a pel. Hundredths of a millimetre.
    fn bar(&mut self, left: u32, top: u32, width: u32, height: u32) {
        let (x, y) = (self.x(left), self.y(top));
        let (w, h) = (self.x(width).max(1), self.y(height).max(1));
        self.page.blacken(x, y, w, h);
    }
    /// The width of the page in hundredths of a millimetre.
    fn width(&self) -> u32 {
        self.page.columns() * 2540 / self.x_dpi.max(1)
    }
    /// Draws a line of text and gives its width.
    fn text(&mut self, left: u32, top: u32, dot: u32, text: &str) -> u32 {
        for (i, c) in text.chars().enumerate() {
            for (row, dots) in glyph(c).into_iter().enumerate() {
                for column in 0..5 {
                    if dots >> (4 - column) & 1 == 1 {
                        self.dot(left + (6 * i as u32 + column) * dot, top + row as u32 * dot, dot);
                    }
                }
            }
        }
        6 * dot * text.chars().count() as u32
    }
    /// A dot from edge to edge, so that neighbours touch at any resolution.
    fn dot(&mut self, left: u32, top: u32, dot: u32) {
        let (x, y) = (self.x(left), self.y(top));
        let (right, bottom) = (self.x(left + dot), self.y(top + dot));
        self.page.blacken(x, y, (right - x).max(1), (bottom - y).max(1));
    }

    /// Millimetres down the left edge and across the top: whether the far end lost rows or moved columns is read off with the eye.
    fn rulers(&mut self) {
        let height = self.page.rows() * 2540 / self.y_dpi.max(1);
        for mm in (0..=height / 100).step_by(5) {
            self.bar(
                0,
                mm * 100,
                if mm % 50 == 0 {
                    800
                } else if mm % 10 == 0 {
                    500
                } else {
                    250
                },
                12,
            );
        }
        for mm in (0..=self.width() / 100).step_by(5) {
            self.bar(
                mm * 100,
                0,
                12,
                if mm % 50 == 0 {
                    500
                } else if mm % 10 == 0 {
                    300
                } else {
                    150
                },
            );
        }
    }
    fn heading(&mut self, letter: &Letter) -> u32 {
        self.text(LEFT_MM * 100, 900, HEADING_DOT, "TIPRING TEST LETTER");
        self.bar(LEFT_MM * 100, 1900, self.width().saturating_sub((LEFT_MM + RIGHT_MM) * 100), 50);
        let line = format!("PAGE {} OF {}   SEED {:016X}", letter.page_number, letter.pages, letter.seed);
        self.text(LEFT_MM * 100, 2200, BODY_DOT, &line);
        3200
    }
    fn address(&mut self, mut y: u32) -> u32 {
        let street = format!("{} {} STREET", self.dice.below(180) + 1, self.word());
        let town = format!("{:05} {}", self.dice.below(100_000), self.word());
        for line in [street, town] {
            self.text(LEFT_MM * 100, y, BODY_DOT, &line);
            y += 520;
        }
        y + 400
    }
    fn body(&mut self, mut y: u32, text: Text) -> u32 {
        self.text(LEFT_MM * 100, y, BODY_DOT, "DEAR SIR OR MADAM,");
        y += 900;
        let letters = (self.width().saturating_sub((LEFT_MM + RIGHT_MM) * 100) / (6 * BODY_DOT)).max(1);
        let (paragraphs, leading) = match text {
            Text::Light => (1, 560),
            Text::Dense => (7, 430),
        };
        for _ in 0..paragraphs {
            for line in 0..if text == Text::Light { 3 } else { 5 } {
                let indent = if line == 0 { 4 } else { 0 };
                let words = self.line_of_words(letters - indent.min(letters - 1));
                self.text((LEFT_MM * 100) + indent * 6 * BODY_DOT, y, BODY_DOT, &words);
                y += leading;
            }
            y += leading;
        }
        y
    }
    fn foot(&mut self, y: u32, letter: &Letter) {
        self.text(LEFT_MM * 100, y, BODY_DOT, "YOURS FAITHFULLY,");
        self.bar(LEFT_MM * 100, y + 2200, 6000, 25);
        let name = format!("{}. {}", (b'A' + self.dice.below(26) as u8) as char, self.word());
        self.text(LEFT_MM * 100, y + 2400, BODY_DOT, &name);
        // The stamp: a double box, placed by the dice.
        let (left, top) = (11_000 + self.dice.below(1500), y + self.dice.below(600));
        for inset in [0, 130] {
            let (w, h) = (6000 - 2 * inset, 2600 - 2 * inset);
            self.bar(left + inset, top + inset, w, 40);
            self.bar(left + inset, top + inset + h - 40, w, 40);
            self.bar(left + inset, top + inset, 40, h);
            self.bar(left + inset + w - 40, top + inset, 40, h);
        }
        self.text(left + 500, top + 500, 80, "RECEIVED");
        let number = format!("NO. {:06}-{}", self.dice.below(1_000_000), letter.page_number);
        self.text(left + 500, top + 1500, BODY_DOT, &number);
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.dice.below(WORDS.len() as u32) as usize]
    }
    fn line_of_words(&mut self, letters: u32) -> String {
        let mut line = String::new();
        loop {
            let word = self.word();
            if line.len() + word.len() + 1 > letters as usize {
                return line;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            if self.dice.below(9) == 0 {
                line.push(',');
            }
        }
    }
}

const WORDS: [&str; 48] = [
    "THE",
    "LINE",
    "PAGE",
    "OF",
    "PAPER",
    "TO",
    "CARRIER",
    "AND",
    "SIGNAL",
    "WE",
    "HAVE",
    "RECEIVED",
    "YOUR",
    "ORDER",
    "FOR",
    "TWELVE",
    "NEW",
    "MACHINES",
    "PLEASE",
    "SEND",
    "A",
    "COPY",
    "BY",
    "RETURN",
    "WITH",
    "OUR",
    "KIND",
    "REGARDS",
    "THIS",
    "LETTER",
    "IS",
    "WRITTEN",
    "IN",
    "BLACK",
    "ON",
    "WHITE",
    "NUMBER",
    "AT",
    "FIVE",
    "QUARTZ",
    "JOINT",
    "VALUE",
    "EXAMPLE",
    "MORNING",
    "HARBOUR",
    "TELEPHONE",
    "OFFICE",
    "WEEK",
];

/// SplitMix64: a seed, and numbers that differ with it. (The core's own generator is not below this crate.)
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % u64::from(bound)) as u32
    }
}

/// Letters of 5 by 7 dots, a row a number of five bits. What is not here is blank.
fn glyph(c: char) -> [u8; 7] {
    match c {
        'A' => [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'B' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110],
        'C' => [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110],
        'D' => [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110],
        'E' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
        'F' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000],
        'G' => [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01110],
        'H' => [0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'I' => [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        'J' => [0b00111, 0b00010, 0b00010, 0b00010, 0b00010, 0b10010, 0b01100],
        'K' => [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001],
        'L' => [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111],
        'M' => [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
        'N' => [0b10001, 0b11001, 0b11001, 0b10101, 0b10011, 0b10011, 0b10001],
        'O' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'P' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000],
        'Q' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10101, 0b10010, 0b01101],
        'R' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
        'S' => [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110],
        'T' => [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100],
        'U' => [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'V' => [0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b01010, 0b00100],
        'W' => [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b11011, 0b10001],
        'X' => [0b10001, 0b01010, 0b01010, 0b00100, 0b01010, 0b01010, 0b10001],
        'Y' => [0b10001, 0b10001, 0b01010, 0b00100, 0b00100, 0b00100, 0b00100],
        'Z' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b11111],
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00010, 0b00100, 0b00100, 0b00100],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        ',' => [0, 0, 0, 0, 0b01100, 0b00100, 0b01000],
        '-' => [0, 0, 0, 0b11111, 0, 0, 0],
        _ => [0; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::super::{compare, t4, t6};
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_letter_and_others_draw_others() {
        let draw = |seed, page| Letter::new(seed, page, 2).draw().unwrap();
        assert!(compare(&draw(7, 1), &draw(7, 1)).is_none());
        assert!(compare(&draw(7, 1), &draw(8, 1)).differing_pels > 1000);
        assert!(compare(&draw(7, 1), &draw(7, 2)).differing_pels > 1000);
    }

    #[test]
    fn a_light_letter_is_light_and_a_dense_one_is_not() {
        let light = Letter::new(1, 1, 1);
        let dense = Letter { text: Text::Dense, ..light };
        let (light, dense) = (light.draw().unwrap(), dense.draw().unwrap());
        let share = |page: &Page| page.black_pels() as f64 / (1728.0 * 1145.0);
        assert!((0.004..0.03).contains(&share(&light)), "{}", share(&light));
        assert!(share(&dense) > 1.8 * share(&light), "{}", share(&dense));
        let mh = |page: &Page| t4::encode(page, t4::Coding::Mh, t4::Dress::line(0)).len();
        println!(
            "light: MMR {} MH {} bytes; dense: MMR {} MH {}",
            t6::encode(&light).len(),
            mh(&light),
            t6::encode(&dense).len(),
            mh(&dense)
        );
    }

    #[test]
    fn a_letter_is_drawn_at_any_size_and_resolution() {
        for resolution in [Resolution::STANDARD, Resolution::FINE, Resolution::SUPERFINE, Resolution::DPI_300, Resolution::DPI_400] {
            for (columns, rows) in [(1, 1), (64, 200), (1728, 100), (2432, 300), (3456, 4000)] {
                let letter = Letter { columns, rows, resolution, ..Letter::new(3, 1, 1) };
                assert!(letter.draw().unwrap().black_pels() > 0);
            }
        }
    }
}
