//! A page of a few words for people, where there is no dashboard around it. What comes from elsewhere is text in
//! it, never markup.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

/// Says it, and where the dashboard is.
pub(crate) fn say(status: StatusCode, title: &str, message: &str, dashboard: &str) -> Response {
    page(status, title, message, "", dashboard)
}

/// Asks it: what is pressed sends the page's own address again, as a POST. No other page may frame it.
pub(crate) fn ask(title: &str, message: &str, button: &str, dashboard: &str) -> Response {
    let form = format!("<form method=post><button>{}</button></form>", escape(button));
    let mut answer = page(StatusCode::OK, title, message, &form, dashboard);
    // Without a referrer a form does not say where it comes from either.
    answer.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

fn page(status: StatusCode, title: &str, message: &str, form: &str, dashboard: &str) -> Response {
    let (title, message, dashboard) = (escape(title), escape(message), escape(dashboard));
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;\
         padding:0 1rem;color:#1f2328;background:#fff}}button{{font:inherit;padding:.4rem 1rem}}\
         @media(prefers-color-scheme:dark){{body{{color:#e6e6e6;background:#16181c}}a{{color:#9cf}}}}\
         </style><h1>{title}</h1><p>{message}</p>{form}\
         <p><a href=\"{dashboard}\" target=_top rel=noopener>Open the dashboard</a></p></html>"
    );
    let mut answer = (status, page).into_response();
    let out = answer.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    out.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = if form.is_empty() {
        "default-src 'none'; style-src 'unsafe-inline'"
    } else {
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    };
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    answer
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(super::escape("<a b=\"&\">"), "&lt;a b=&quot;&amp;&quot;&gt;");
    }

    #[test]
    fn what_asks_is_framed_by_nobody_and_its_form_says_where_it_comes_from() {
        let asked = super::ask("Connect?", "It is yours.", "Connect", "/");
        let policy = asked.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(asked.headers()["referrer-policy"], "same-origin");
    }
}
