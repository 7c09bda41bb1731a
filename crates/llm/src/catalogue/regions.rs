//! How Amazon's models are named in its regions. Most are asked by the name of an inference profile, which
//! says in which part of the world they may be answered: `eu.anthropic.claude-…`. The bare name is refused.

/// Answered wherever there is room.
const ANYWHERE: &str = "global.";

/// The part of the world of a region, as profiles name it.
fn part(region: &str) -> &'static str {
    match region {
        "ap-southeast-2" | "ap-southeast-4" => "au.",
        "ap-northeast-1" | "ap-northeast-3" => "jp.",
        _ if region.starts_with("us-gov-") => "us-gov.",
        _ if region.starts_with("us-") => "us.",
        _ if region.starts_with("eu-") => "eu.",
        _ if region.starts_with("ap-") => "apac.",
        _ => ANYWHERE,
    }
}

/// The name of a `global.` profile's sibling for a region, whether there is one or not.
pub(super) fn name_in(region: &str, global: &str) -> Option<String> {
    Some(format!("{}{}", part(region), global.strip_prefix(ANYWHERE)?))
}

#[cfg(test)]
mod tests {
    use crate::catalogue::provider;

    #[test]
    fn the_default_model_is_answered_near_the_region_where_it_can_be() {
        for (region, expected) in [
            (None, "us.anthropic.claude-opus-4-6-v1"),
            (Some("us-west-2"), "us.anthropic.claude-opus-4-6-v1"),
            (Some("eu-central-1"), "eu.anthropic.claude-opus-4-6-v1"),
            (Some("ap-southeast-2"), "au.anthropic.claude-opus-4-6-v1"),
            // No profile of these parts is listed.
            (Some("ap-south-1"), "global.anthropic.claude-opus-4-6-v1"),
            (Some("ap-northeast-1"), "global.anthropic.claude-opus-4-6-v1"),
            (Some("sa-east-1"), "global.anthropic.claude-opus-4-6-v1"),
        ] {
            assert_eq!(provider("bedrock").unwrap().default_model_in(region), expected);
        }
        assert_eq!(provider("openai").unwrap().default_model_in(Some("eu-west-1")), "gpt-5");
    }

    #[test]
    fn no_bare_name_is_offered_that_has_a_profile() {
        let ids: Vec<String> =
            crate::catalogue::models("bedrock").into_iter().map(|info| info.id).collect();
        for id in &ids {
            let profile = ids.iter().find(|other| other.ends_with(&format!(".{id}")));
            assert_eq!(profile, None, "{id}");
        }
        assert!(ids.iter().any(|id| id == "us.anthropic.claude-opus-4-6-v1"));
    }
}
