"""Asks models of all providers with nothing but what a machine's environment holds: each format's
base URL and key, each with a model of another provider. Prints one line of JSON for each answer."""

import json
import os
import urllib.request

ASK = "what is in the folder?"


def ask(base, path, header, key, body):
    url = os.environ[base] + path
    headers = {"Content-Type": "application/json", header: os.environ[key]}
    if header == "Authorization":
        headers[header] = f"Bearer {headers[header]}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer), answer.headers["x-toft-model"]


def text(parts):
    return "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))


messages = [{"role": "user", "content": ASK}]
answer, model = ask(
    "OPENAI_BASE_URL", "/chat/completions", "Authorization", "OPENAI_API_KEY",
    {"model": "anthropic/claude-opus-4-5", "messages": messages},
)
print(json.dumps([model, answer["choices"][0]["message"]["content"]]))
answer, model = ask(
    "ANTHROPIC_BASE_URL", "/v1/messages", "x-api-key", "ANTHROPIC_API_KEY",
    {"model": "google/gemini-2.5-flash", "max_tokens": 100, "messages": messages},
)
print(json.dumps([model, text(answer["content"])]))
answer, model = ask(
    "GOOGLE_GEMINI_BASE_URL", "/v1beta/models/openai/gpt-5:generateContent", "x-goog-api-key",
    "GEMINI_API_KEY", {"contents": [{"role": "user", "parts": [{"text": ASK}]}]},
)
print(json.dumps([model, text(answer["candidates"][0]["content"]["parts"])]))
