//! HTML pages: only the program's own markup is markup, all other text is escaped.

use std::fmt::Display;

use super::Theme;

/// The style sheet of all pages, beside the colours of [`Theme::css`].
const STYLE: &str = include_str!("../templates/page.css");

/// A page that is being written.
///
/// ```
/// use charloom_plot::html::Page;
/// let mut page = Page::new("<mine>", "'none'");
/// page.markup("<p>").text("a < b");
/// assert!(page.end().contains("<title>&#60;mine&#62; - charloom</title>"));
/// ```
pub struct Page(String);

impl Page {
    /// Begins a page with this name; `scripts` are the only sources of scripts, as in a
    /// Content-Security-Policy.
    #[must_use]
    pub fn new(name: &str, scripts: &str) -> Self {
        let mut page = Self(String::new());
        page.markup(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'; script-src ",
        );
        page.trusted(scripts)
            .markup("\">\n<title>")
            .text(name)
            .markup(" - charloom</title>\n<style>\n:root { ");
        page.trusted(&Theme::Light.css()).markup(" }\n@media (prefers-color-scheme: dark) { :root { ");
        page.trusted(&Theme::Dark.css()).markup(" } }\n").markup(STYLE);
        page.markup("\n</style>\n</head>\n<body>\n<main>\n<header>\n<h1>").text(name).markup("</h1>\n");
        page
    }

    /// Appends markup of the program.
    pub fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Appends generated markup, such as a picture; any text in it must be escaped already.
    pub fn trusted(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Appends a text, escaped so that none of it is markup.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        for c in text.to_string().chars() {
            match c {
                '&' | '<' | '>' | '"' | '\'' => self.0 += &format!("&#{};", c as u32),
                _ => self.0.push(c),
            }
        }
        self
    }

    /// Appends each picture as a figure.
    pub fn figures(&mut self, svgs: &[String]) -> &mut Self {
        for svg in svgs {
            self.markup("<figure>").trusted(svg).markup("</figure>\n");
        }
        self
    }

    /// Appends a row of a table: its heading and its cells.
    pub fn row(&mut self, head: impl Display, cells: &[String]) -> &mut Self {
        self.markup("<tr><th scope=\"row\">").text(head);
        for cell in cells {
            self.markup("<td>").text(cell);
        }
        self.markup("</tr>\n")
    }

    /// Ends the page.
    #[must_use]
    pub fn end(mut self) -> String {
        self.markup("</main>\n</body>\n</html>\n");
        self.0
    }
}
