//! How thinking is asked for in the chat format, and which of it goes back.

use super::*;

#[tokio::test]
async fn thinking_goes_back_to_those_who_want_it() {
    let mut thought = assistant(vec![
        Block::Thinking { thinking: "hm".into(), thinking_signature: None, redacted: false },
        call("a", "ls", "{}"),
    ]);
    if let Message::Assistant(m) = &mut thought {
        "deepseek".clone_into(&mut m.provider);
        "openai-completions".clone_into(&mut m.api);
    }
    let history = vec![user("a"), thought, result("a", "x")];
    let (_, body) = sent(request("deepseek", "deepseek-v4-pro", history.clone())).await;
    assert_eq!(body["messages"][2]["reasoning_content"], "hm");
    let (_, body) = sent(request("openai", "gpt-5", history)).await;
    assert_eq!(body["messages"][2].get("reasoning_content"), None);
}

/// The `reasoning_content` of each message of the model.
async fn thoughts(
    provider: &str,
    model: &str,
    level: ThinkingLevel,
    all: &[Message],
) -> Vec<Value> {
    let mut asked = request(provider, model, all.to_vec());
    (asked.thinking, asked.model.reasoning) = (level, true);
    let (_, body) = sent(asked).await;
    let messages = body["messages"].as_array().unwrap().iter();
    let of_model = messages.filter(|m| m["role"] == "assistant");
    of_model.map(|m| m.get("reasoning_content").cloned().unwrap_or_default()).collect()
}

#[tokio::test]
async fn who_wants_thinking_in_every_message_gets_it_while_it_thinks() {
    // Both are another model's, or were said with thinking off.
    let history = [
        user("a"),
        assistant(vec![Block::text("I look."), call("a", "ls", "{}")]),
        result("a", "x"),
        assistant(vec![Block::text("Done.")]),
        user("b"),
    ];
    let (high, off) = (ThinkingLevel::High, ThinkingLevel::Off);
    for (provider, model) in [
        ("kimi", "kimi-k2.6"),
        ("kimi", "kimi-k2-thinking"),
        ("deepseek", "deepseek-v4-pro"),
        ("deepseek", "deepseek-reasoner"),
        ("xiaomi", "mimo-v2-pro"),
    ] {
        let got = thoughts(provider, model, high, &history).await;
        assert_eq!(got, [json!(" "), json!(" ")], "{provider}/{model}");
    }
    // Some cannot do without.
    assert_eq!(thoughts("kimi", "kimi-k2-thinking", off, &history).await, [json!(" "), json!(" ")]);
    for (provider, model, level) in
        [("kimi", "kimi-k2.6", off), ("deepseek", "deepseek-v4-pro", off), ("zai", "glm-4.7", high)]
    {
        let got = thoughts(provider, model, level, &history).await;
        assert_eq!(got, [Value::Null, Value::Null], "{provider}/{model}");
    }
}

#[tokio::test]
async fn a_model_that_always_thinks_is_not_told_not_to_behind_a_router() {
    let none = json!({"effort": "none"});
    for (model, level, expected) in [
        ("minimax/minimax-m2.5", ThinkingLevel::Off, Value::Null),
        ("google/gemini-2.5-pro", ThinkingLevel::Off, Value::Null),
        ("x-ai/grok-4.3", ThinkingLevel::Off, Value::Null),
        ("qwen/qwen3-235b-a22b-thinking-2507", ThinkingLevel::Off, Value::Null),
        ("openai/gpt-5", ThinkingLevel::Off, json!({"effort": "minimal"})),
        ("openai/gpt-5.2-pro", ThinkingLevel::Off, json!({"effort": "medium"})),
        ("openai/o3", ThinkingLevel::Off, json!({"effort": "low"})),
        ("openai/gpt-oss-120b", ThinkingLevel::Off, json!({"effort": "low"})),
        ("openai/gpt-5.1", ThinkingLevel::Off, none.clone()),
        ("anthropic/claude-opus-4.6", ThinkingLevel::Off, none.clone()),
        ("google/gemini-2.5-flash", ThinkingLevel::Off, none),
        ("minimax/minimax-m2.5", ThinkingLevel::High, json!({"effort": "high"})),
        ("openai/gpt-5.1-codex", ThinkingLevel::Minimal, json!({"effort": "low"})),
        ("openai/gpt-5-pro", ThinkingLevel::Low, json!({"effort": "high"})),
    ] {
        let mut asked = asked("openrouter", model);
        (asked.thinking, asked.model.reasoning) = (level, true);
        assert_eq!(sent(asked).await.1["reasoning"], expected, "{model} {level:?}");
    }
}

#[tokio::test]
async fn each_provider_is_told_to_think_in_its_own_words() {
    for (provider, model, level, field, expected) in [
        (
            "zai",
            "glm-4.7",
            ThinkingLevel::High,
            "thinking",
            json!({"type": "enabled", "clear_thinking": false}),
        ),
        ("zai", "glm-4.7", ThinkingLevel::Off, "thinking", json!({"type": "disabled"})),
        ("kimi", "kimi-k2.6", ThinkingLevel::High, "thinking", json!({"type": "enabled"})),
        ("kimi", "kimi-k2-thinking", ThinkingLevel::Off, "thinking", Value::Null),
        ("deepseek", "deepseek-v4-pro", ThinkingLevel::Low, "thinking", json!({"type": "enabled"})),
        ("xiaomi", "mimo-v2-pro", ThinkingLevel::Off, "thinking", json!({"type": "disabled"})),
        (
            "together",
            "moonshotai/Kimi-K2.6",
            ThinkingLevel::Low,
            "reasoning",
            json!({"enabled": true}),
        ),
        ("openrouter", "openai/gpt-5", ThinkingLevel::Low, "reasoning", json!({"effort": "low"})),
        ("groq", "openai/gpt-oss-120b", ThinkingLevel::Low, "reasoning_effort", json!("low")),
        ("groq", "openai/gpt-oss-120b", ThinkingLevel::Off, "reasoning_effort", json!("low")),
        ("groq", "qwen/qwen3-32b", ThinkingLevel::High, "reasoning_effort", Value::Null),
        ("cerebras", "gpt-oss-120b", ThinkingLevel::Xhigh, "reasoning_effort", json!("high")),
        ("qwen", "qwen-plus", ThinkingLevel::High, "enable_thinking", json!(true)),
    ] {
        let mut request = asked(provider, model);
        request.model.reasoning = true;
        request.thinking = level;
        let (_, body) = sent(request).await;
        assert_eq!(body[field], expected, "{provider} {model} {level:?}");
    }
}
