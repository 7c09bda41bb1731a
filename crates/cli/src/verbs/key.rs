//! `toft key …`: keys for programs. One is printed when it is made and never again.

use crate::{
    amounts::{self, Bound},
    args::{
        At,
        key::{Key, Scope},
    },
    client::Client,
    named::{self, Kind},
    output,
};
use anyhow::{Result, anyhow};
use http::Method;
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use serde_json::{Value, json};

const KEY: Kind =
    Kind { one: "key", by: &["id", "name", "prefix"], listed: "`toft key list` lists them" };

pub(crate) async fn run(at: &At, verb: &Key, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    match verb {
        Key::New { name, scope, project, expires } => {
            let ends = expires.as_deref().map(|text| ends(text, Timestamp::now())).transpose()?;
            let scopes: Vec<&str> = scope.iter().copied().map(Scope::as_str).collect();
            let mut body = json!({"name": name, "scopes": scopes});
            if let Some(project) = project {
                body["project"] = client.project(project).await?.into();
            }
            if let Some(ends) = ends {
                body["expiresAt"] = ends.as_millisecond().into();
            }
            let made = client.post("/v1/keys", &body).await?;
            if as_json {
                output::json(&made);
            } else {
                // Alone on standard output, so that it can be piped to where it goes.
                output::line(made["key"].as_str().unwrap_or_default());
                output::remark(&format!(
                    "The key {}, for {}. It is shown this once: `toft key revoke` takes it back.",
                    output::text(&made["name"]),
                    opens(&made)
                ));
            }
        }
        Key::List => list(&client.get("/v1/keys").await?, as_json),
        Key::Revoke { key } => {
            let all = client.get("/v1/keys").await?;
            let keys = all["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
            let id = named::pick(keys, key, &KEY)?;
            let gone = client.call(Method::DELETE, &format!("/v1/keys/{id}"), None).await?;
            if as_json {
                output::json(&gone);
            } else {
                output::line(&format!("{key} is revoked: it opens nothing more."));
            }
        }
    }
    Ok(())
}

/// The moment that is meant by a time from now, or by a day: its end.
fn ends(text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Ok(day) = text.parse::<Date>() {
        return Ok(day.tomorrow()?.to_zoned(TimeZone::UTC)?.timestamp());
    }
    match amounts::time(text) {
        Ok(Bound::At(seconds)) => Ok(now.checked_add(i64::try_from(seconds)?.seconds())?),
        // Said by leaving it out.
        Ok(Bound::Off) | Err(_) => Err(anyhow!(
            "--expires: {text:?} is no time and no day: write it as 12h, 90d or 2027-01-31, or leave it out for never"
        )),
    }
}

fn list(all: &Value, as_json: bool) {
    if as_json {
        output::json(all);
        return;
    }
    let keys = all["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() {
        output::line("No keys. `toft key new NAME --scope models` makes one.");
        return;
    }
    let head = ["NAME", "BEGINS", "OPENS", "EXPIRES", "LAST USED"].map(str::to_owned).to_vec();
    let rows = keys.iter().map(|key| {
        let expires = match moment(&key["expiresAt"]) {
            None => "never".to_owned(),
            Some(at) if key["expired"] == true => format!("{at} (over)"),
            Some(at) => at,
        };
        vec![
            output::text(&key["name"]),
            output::text(&key["prefix"]),
            opens(key),
            expires,
            moment(&key["lastUsedAt"]).unwrap_or_else(|| "never".to_owned()),
        ]
    });
    output::table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
}

/// Its scopes, and the project that it is bound to.
fn opens(key: &Value) -> String {
    let scopes = key["scopes"].as_array().into_iter().flatten();
    let scopes = scopes.map(output::text).collect::<Vec<_>>().join(", ");
    match key["projectId"].as_str() {
        Some(project) => format!("{scopes} of {project}"),
        None => scopes,
    }
}

fn moment(ms: &Value) -> Option<String> {
    let at = Timestamp::from_millisecond(ms.as_i64()?).ok()?;
    Some(at.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_from_now_or_a_whole_day() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let of = |text: &str| ends(text, now).map(|at| at.to_string()).ok();
        assert_eq!(of("12h").unwrap(), "2026-11-22T00:00:00Z");
        assert_eq!(of("90d").unwrap(), "2027-02-19T12:00:00Z");
        assert_eq!(of("2027-01-31").unwrap(), "2027-02-01T00:00:00Z");
        for bad in ["never", "soon", "2027-02-30", ""] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_says_what_it_opens() {
        let key = json!({"scopes": ["models", "read"], "projectId": "a23456789bcd"});
        assert_eq!(opens(&key), "models, read of a23456789bcd");
        assert_eq!(opens(&json!({"scopes": ["admin"], "projectId": null})), "admin");
    }
}
