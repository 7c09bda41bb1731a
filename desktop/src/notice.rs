//! The page that stands in while there is no dashboard: what happened, what was kept, what to do.
//! Holds no script, and only text in what came from elsewhere.

/// Where its text comes in.
const TEMPLATE: &str = include_str!("notice.html");

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// A few words; also the window's title.
    pub(crate) title: String,
    /// What was kept and what to do, in a sentence or two.
    pub(crate) text: String,
    /// What the machine said, verbatim.
    pub(crate) detail: Option<String>,
    /// Words on the button; none while something is under way.
    pub(crate) retry: Option<&'static str>,
}

impl Notice {
    /// While something is under way.
    pub(crate) fn wait(title: &str) -> Self {
        Self { title: title.to_owned(), text: String::new(), detail: None, retry: None }
    }

    /// The page.
    pub(crate) fn page(&self) -> String {
        let waits = self.retry.is_none();
        let text = optional(&self.text, |t| format!("<p>{}</p>", escape(t)));
        let detail = self.detail.as_deref().unwrap_or_default().trim();
        let detail = optional(detail, |t| format!("<pre tabindex=0>{}</pre>", escape(t)));
        let button = self.retry.map_or_else(String::new, |words| {
            format!("<a class=button href=\"{}\" autofocus>{}</a>", super::place::RETRY, words)
        });
        TEMPLATE
            .replace("{{class}}", if waits { "waits" } else { "stands" })
            .replace("{{title}}", &escape(&self.title))
            .replace("{{text}}", &text)
            .replace("{{button}}", &button)
            // Last: what a machine said may hold anything, a placeholder too.
            .replace("{{detail}}", &detail)
    }
}

fn optional(text: &str, html: impl FnOnce(&str) -> String) -> String {
    if text.is_empty() { String::new() } else { html(text) }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_become_markup_or_a_script() {
        let page = Notice {
            title: "a<b".into(),
            text: "<script>1</script>".into(),
            detail: Some("</pre><img src=x onerror=\"1\">{{button}}".into()),
            retry: Some("Retry"),
        }
        .page();
        assert!(page.contains("a&lt;b") && !page.contains("<script") && !page.contains("<img"));
        assert!(page.contains("{{button}}</pre>"), "a placeholder in a detail stays text");
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn a_notice_that_waits_has_no_button() {
        assert!(!Notice::wait("Opening").page().contains("toft://shell/retry"));
    }
}
