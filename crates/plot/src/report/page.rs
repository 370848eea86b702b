//! Writes a report as HTML.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::Report;
use crate::html::Page;
use charloom::models::MemberSummary;

const SCRIPT: &str = include_str!("../../templates/report.js");

impl Report {
    pub(super) fn render(&self) -> String {
        let gathered = &self.gathered;
        let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
        let mut page = Page::new(&gathered.name, &format!("'sha256-{hash}'"));
        page.markup("<p>").text(&gathered.summary).markup("</p>\n</header>\n\n");
        for warning in &gathered.warnings {
            page.markup("<p class=\"warning\">").text(warning).markup("</p>\n");
        }
        self.losses(&mut page);
        self.training(&mut page);
        self.samples(&mut page);
        if !self.pictures.is_empty() {
            section(&mut page, "What it has learned").figures(&self.pictures).markup("</section>\n");
        }
        self.diagnostics(&mut page);
        self.settings(&mut page);
        page.markup("<script>").markup(SCRIPT).markup("</script>\n");
        page.end()
    }

    fn losses(&self, page: &mut Page) {
        if self.gathered.losses.is_empty() {
            return;
        }
        section(page, "Final losses").markup(
            "<p>The best model, beside what ignorance would give. Nats per character; lower is better.</p>\n\
             <div class=\"scroll\"><table>\n<thead><tr><th>split<th>loss<th>bits/char<th>perplexity<th>examples\
             <th>bigram<th>unigram<th>uniform</tr></thead>\n<tbody>\n",
        );
        for row in &self.gathered.losses {
            page.markup("<tr><th scope=\"row\">").text(row.split);
            page.markup("<td><strong>").text(&row.loss).markup("</strong>");
            let examples = row.examples.to_string();
            for cell in [&row.bits, &row.perplexity, &examples, &row.bigram, &row.unigram, &row.uniform] {
                page.markup("<td>").text(cell);
            }
            page.markup("</tr>\n");
        }
        page.markup("</tbody>\n</table></div>\n</section>\n");
    }

    fn training(&self, page: &mut Page) {
        if self.charts.is_empty() {
            return;
        }
        section(page, "Training").markup(
            "<p class=\"hint\">Point at a curve for its numbers, drag to zoom, double-click to go back, click a \
             name to hide its curve.</p>\n",
        );
        for chart in &self.charts {
            page.markup("<figure class=\"chart\" data-figure=\"").text(&chart.id).markup("\">");
            page.trusted(&chart.svg).markup("</figure>\n<script type=\"application/json\" id=\"");
            page.text(&chart.id).markup("\">").trusted(&chart.json).markup("</script>\n");
        }
        page.markup("</section>\n");
    }

    fn samples(&self, page: &mut Page) {
        let gathered = &self.gathered;
        if gathered.samples.is_empty() {
            return;
        }
        section(page, "Samples");
        if gathered.is_text {
            for sample in &gathered.samples {
                page.markup("<pre>").text(&sample.text).markup("</pre>\n");
            }
        } else {
            page.markup("<p>").text(&gathered.novel).markup("</p>\n<ul class=\"samples\">\n");
            for sample in &gathered.samples {
                page.markup("<li class=\"").markup(if sample.is_known { "known" } else { "new" });
                page.markup("\"><span>").text(&sample.text).markup("</span> <small>");
                page.text(sample.novelty).markup("</small></li>\n");
            }
            page.markup("</ul>");
        }
        page.markup("</section>\n");
    }

    fn diagnostics(&self, page: &mut Page) {
        let Some(findings) = &self.gathered.findings else { return };
        section(page, "Diagnostics");
        if findings.is_empty() {
            page.markup(
                "<p>Nothing stands out in the layers' outputs, their gradients and the updates.</p>\n",
            );
        } else {
            page.markup("<ul>");
            for finding in findings {
                page.markup("<li>").text(finding).markup("</li>\n");
            }
            page.markup("</ul>\n");
        }
        for (title, rows) in &self.gathered.tables {
            page.markup("<div class=\"scroll\"><table class=\"layers\">\n<caption>").text(title);
            page.markup("</caption>\n");
            for row in rows {
                if let Some((head, cells)) = row.split_first() {
                    page.row(head, cells);
                }
            }
            page.markup("</table></div>\n");
        }
        page.figures(&self.layers).markup("</section>\n");
    }

    fn members(&self, page: &mut Page) {
        let members = &self.gathered.members;
        if members.is_empty() {
            return;
        }
        section(page, "Members").markup("<div class=\"scroll\"><table class=\"layers\">\n");
        for row in MemberSummary::table(members, "member") {
            page.row(&row[0], &row[1..]);
        }
        page.markup("</table></div>\n</section>\n");
    }

    fn settings(&self, page: &mut Page) {
        let gathered = &self.gathered;
        if !gathered.card.is_empty() {
            section(page, "Data").markup("<table class=\"pairs\">\n");
            for (key, value) in &gathered.card {
                page.row(key, std::slice::from_ref(value));
            }
            page.markup("</table>\n</section>\n");
        }
        section(page, "Configuration").markup("<div class=\"columns\">\n");
        for (name, settings) in &gathered.configuration {
            page.markup("<table class=\"pairs\">\n<caption>").text(name).markup("</caption>\n");
            for (key, value) in settings {
                page.row(key, std::slice::from_ref(value));
            }
            page.markup("</table>\n");
        }
        page.markup("</div>\n</section>\n");
        self.members(page);
        section(page, "How to reproduce it");
        if gathered.members.is_empty() {
            page.markup(
                "<p>Save this as config.toml; the same charloom on the same data gives the same bytes.</p>\n<pre>",
            );
            page.text(&gathered.toml).markup("</pre>\n<pre>charloom train --config config.toml</pre>\n");
        } else {
            let numbers = gathered.members.iter().map(|member| &member.member);
            let runs: String = numbers.filter(|n| !n.contains('.')).map(|n| format!("RUN-{n} ")).collect();
            let flags = MemberSummary::flags(&gathered.members);
            page.markup(
                "<p>Train the members, each with its own of these settings, then mix them.</p>\n<pre>",
            );
            page.text(&gathered.toml).markup("</pre>\n<pre>charloom mix ").text(runs).text(flags);
            page.markup(" --out RUN</pre>\n");
        }
        page.markup("<p>Made by charloom ").text(charloom::VERSION).markup(".</p>\n</section>\n");
    }
}

/// Begins a section.
fn section<'a>(page: &'a mut Page, title: &'static str) -> &'a mut Page {
    page.markup("<section>\n<h2>").markup(title).markup("</h2>\n")
}
