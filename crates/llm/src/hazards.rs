//! What every wire format must withstand, in one table: each hazard is run against each adapter.

mod ends;
pub(crate) mod formats;
mod garbage;
mod refusals;
mod streams;

use formats::FORMATS;
use toft_model::provider::Api;

/// A row makes a test that runs its hazard against each format. Time stands still in it unless all wait.
macro_rules! table {
    ($($words:literal => $file:ident::$hazard:ident,)*) => {
        const TABLE: &[&str] = &[$($words),*];
        $(
            #[tokio::test(start_paused = true)]
            async fn $hazard() {
                for format in &FORMATS {
                    $file::$hazard(format).await;
                }
            }
        )*
    };
}

table! {
    "abort" => streams::abort,
    "empty" => streams::empty,
    "cut at every byte" => streams::cut_at_every_byte,
    "bad JSON" => streams::bad_json,
    "429" => refusals::limited,
    "529" => refusals::overloaded,
    "idle" => streams::idle,
    "overflow" => refusals::overflow,
    "duplicate tool ids" => streams::duplicate_tool_ids,
    "bad UTF-8" => streams::bad_utf8,
    "unknown fields" => streams::unknown_fields,
    // More than was asked for.
    "chunked anywhere" => streams::chunks,
    "signs of life" => streams::signs_of_life,
    "impossible counts" => streams::impossible_counts,
    "nameless calls" => streams::nameless_calls,
    "another model answers" => streams::another_model_answers,
    "cut in a call" => streams::cut_in_a_call,
    "error in the middle" => streams::error_in_the_middle,
    "no gateway" => streams::no_gateway,
    "abort before it began" => streams::abort_before_it_began,
    "endless event" => streams::endless_event,
    "endless answer" => ends::endless_answer,
    "a full context" => ends::full_context,
    "no room for arguments" => ends::no_room_for_arguments,
    "a refused key" => refusals::refused_key,
    "a wrong request" => refusals::wrong_request,
    "money that is spent" => refusals::spent,
    "a broken provider" => refusals::broken,
    "the gateway's own refusals" => refusals::of_the_gateway,
}

/// What has to be in the table, whatever else is.
const ASKED_FOR: [&str; 11] = [
    "abort",
    "empty",
    "cut at every byte",
    "bad JSON",
    "429",
    "529",
    "idle",
    "overflow",
    "duplicate tool ids",
    "bad UTF-8",
    "unknown fields",
];

#[test]
fn the_table_has_every_hazard_and_every_format() {
    assert_eq!(TABLE[..ASKED_FOR.len()], ASKED_FOR);
    // A new format does not compile here until somebody says that it is in the table.
    let is_asked_over_a_wire = |api: Api| match api {
        Api::OpenaiCompletions
        | Api::OpenaiResponses
        | Api::AnthropicMessages
        | Api::GoogleGenerativeAi
        | Api::BedrockConverseStream => true,
        Api::Scripted => false,
    };
    let all = [
        Api::OpenaiCompletions,
        Api::OpenaiResponses,
        Api::AnthropicMessages,
        Api::GoogleGenerativeAi,
        Api::BedrockConverseStream,
        Api::Scripted,
    ];
    for api in all {
        let rows = FORMATS.iter().filter(|format| format.api == api).count();
        assert_eq!(rows, usize::from(is_asked_over_a_wire(api)), "{api:?}");
    }
}
