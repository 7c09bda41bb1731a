"""Drives the official SDKs, as they are, against the gateway: each SDK's formats, each with a model of
every provider. Arguments: address of the server, its key. Prints a line for each piece that went well,
and ends with an error at the first that did not."""

import json
import sys

import anthropic
import openai
from google import genai
from google.genai import types

BASE, KEY = sys.argv[1:3]
MODELS = ["openai/gpt-5", "anthropic/claude-opus-4-5", "google/gemini-2.5-flash"]
ASK = "what is in the folder?"
THOUGHT = "The folder has to be listed."
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
FILES = "a\nb"
END = "There are two files: a and b."


def check(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


class Chat:
    """openai, chat completions."""

    errors = (openai.RateLimitError, openai.BadRequestError, openai.InternalServerError)

    def __init__(self):
        self.client = openai.OpenAI(base_url=f"{BASE}/llm/openai/v1", api_key=KEY, max_retries=0)
        function = {"name": "list_files", "description": "List.", "parameters": SCHEMA}
        self.tools = [{"type": "function", "function": function}]

    def names(self):
        return [model.id for model in self.client.models.list()]

    def say(self, model, text, stream=False):
        return self.client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": text}], stream=stream
        )

    def pieces(self, stream):
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    def round(self, model, stream):
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": ASK},
        ]
        said, usage = self.turn(model, messages, stream)
        check(said.content, "I look.")
        [call] = said.tool_calls
        check((call.function.name, json.loads(call.function.arguments)), ("list_files", {"path": "/srv"}))
        check((usage.prompt_tokens, usage.completion_tokens), (20, 7))
        messages.append(said.model_dump(exclude_none=True))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": FILES})
        said, usage = self.turn(model, messages, stream)
        check(said.content, END)
        check((usage.prompt_tokens, usage.completion_tokens), (30, 9))

    def turn(self, model, messages, stream):
        asked = {"model": model, "messages": messages, "tools": self.tools}
        if not stream:
            answer = self.client.chat.completions.create(**asked)
            return answer.choices[0].message, answer.usage
        with self.client.chat.completions.stream(
            **asked, stream_options={"include_usage": True}
        ) as events:
            answer = events.get_final_completion()
        return answer.choices[0].message, answer.usage


class Responses(Chat):
    """openai, responses."""

    def __init__(self):
        super().__init__()
        self.tools = [{"type": "function", "name": "list_files", "description": "List.", "parameters": SCHEMA}]

    def say(self, model, text, stream=False):
        return self.client.responses.create(model=model, input=text, stream=stream)

    def pieces(self, stream):
        for event in stream:
            if event.type == "response.failed":
                raise openai.OpenAIError(event.response.error.message)
            if event.type == "response.output_text.delta":
                yield event.delta

    def round(self, model, stream):
        items = [{"role": "user", "content": ASK}]
        answer = self.turn(model, items, stream)
        check(answer.status, "completed")
        check(answer.output_text, "I look.")
        [call] = [item for item in answer.output if item.type == "function_call"]
        check((call.name, json.loads(call.arguments)), ("list_files", {"path": "/srv"}))
        if model.startswith(("anthropic/", "google/")):
            [thought] = [item for item in answer.output if item.type == "reasoning"]
            check(thought.summary[0].text, THOUGHT)
        items += [item.model_dump(exclude_none=True) for item in answer.output]
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": FILES})
        answer = self.turn(model, items, stream)
        check(answer.output_text, END)
        check((answer.usage.input_tokens, answer.usage.output_tokens), (30, 9))

    def turn(self, model, items, stream):
        asked = {
            "model": model,
            "input": items,
            "instructions": "Be brief.",
            "tools": self.tools,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "low", "summary": "auto"},
        }
        if not stream:
            return self.client.responses.create(**asked)
        with self.client.responses.stream(**asked) as events:
            return events.get_final_response()


class Messages:
    """anthropic, messages."""

    errors = (anthropic.RateLimitError, anthropic.BadRequestError, anthropic.APIStatusError)
    def __init__(self):
        self.client = anthropic.Anthropic(base_url=f"{BASE}/llm/anthropic", api_key=KEY, max_retries=0)
        self.tools = [{"name": "list_files", "description": "List.", "input_schema": SCHEMA}]

    def names(self):
        return [model.id for model in self.client.models.list()]

    def say(self, model, text, stream=False):
        return self.client.messages.create(
            model=model, max_tokens=2000, messages=[{"role": "user", "content": text}], stream=stream
        )

    def pieces(self, stream):
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text

    def round(self, model, stream):
        messages = [{"role": "user", "content": ASK}]
        answer = self.turn(model, messages, stream)
        check(answer.stop_reason, "tool_use")
        [text] = [block.text for block in answer.content if block.type == "text"]
        check(text, "I look.")
        [call] = [block for block in answer.content if block.type == "tool_use"]
        check((call.name, call.input), ("list_files", {"path": "/srv"}))
        if model.startswith(("anthropic/", "google/")):
            [thought] = [block for block in answer.content if block.type == "thinking"]
            check(thought.thinking, THOUGHT)
        check((answer.usage.input_tokens, answer.usage.output_tokens), (20, 7))
        messages.append({"role": "assistant", "content": answer.content})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": FILES}
        messages.append({"role": "user", "content": [result]})
        answer = self.turn(model, messages, stream)
        check((answer.stop_reason, answer.content[-1].text), ("end_turn", END))

    def turn(self, model, messages, stream):
        asked = {
            "model": model,
            "max_tokens": 4000,
            "system": "Be brief.",
            "messages": messages,
            "tools": self.tools,
            "thinking": {"type": "enabled", "budget_tokens": 2048},
        }
        if not stream:
            return self.client.messages.create(**asked)
        open_blocks = []
        with self.client.messages.stream(**asked) as events:
            for event in events:
                if event.type == "content_block_start":
                    check(open_blocks, [], "a block begins before another one ended")
                    open_blocks.append(event.index)
                elif event.type == "content_block_stop":
                    open_blocks.remove(event.index)
            check(open_blocks, [], "a block did not end")
            return events.get_final_message()


class Gemini:
    """google-genai."""

    errors = (genai.errors.ClientError, genai.errors.ClientError, genai.errors.ServerError)
    def __init__(self):
        options = types.HttpOptions(base_url=f"{BASE}/llm/google")
        self.client = genai.Client(api_key=KEY, http_options=options)
        self.tools = [
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name="list_files",
                        description="List.",
                        parameters={"type": "OBJECT", "properties": {"path": {"type": "STRING"}}},
                    )
                ]
            )
        ]

    def names(self):
        return [model.name.removeprefix("models/") for model in self.client.models.list()]

    def say(self, model, text, stream=False):
        models = self.client.models
        ask = models.generate_content_stream if stream else models.generate_content
        return ask(model=model, contents=text)

    def pieces(self, stream):
        for chunk in stream:
            if chunk.text:
                yield chunk.text

    def round(self, model, stream):
        contents = [types.Content(role="user", parts=[types.Part(text=ASK)])]
        parts, _ = self.turn(model, contents, stream)
        check("".join(p.text for p in parts if p.text and not p.thought), "I look.")
        [call] = [p.function_call for p in parts if p.function_call]
        check((call.name, call.args), ("list_files", {"path": "/srv"}))
        if model.startswith(("anthropic/", "google/")):
            check("".join(p.text for p in parts if p.text and p.thought), THOUGHT)
        contents.append(types.Content(role="model", parts=parts))
        response = types.FunctionResponse(id=call.id, name=call.name, response={"output": FILES})
        contents.append(types.Content(role="user", parts=[types.Part(function_response=response)]))
        parts, usage = self.turn(model, contents, stream)
        check("".join(p.text for p in parts if p.text and not p.thought), END)
        check((usage.prompt_token_count, usage.candidates_token_count), (30, 9))

    def turn(self, model, contents, stream):
        config = types.GenerateContentConfig(
            system_instruction="Be brief.",
            tools=self.tools,
            max_output_tokens=4000,
            thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=2048),
        )
        asked = {"model": model, "contents": contents, "config": config}
        if not stream:
            answer = self.client.models.generate_content(**asked)
            return answer.candidates[0].content.parts, answer.usage_metadata
        parts, usage = [], None
        for chunk in self.client.models.generate_content_stream(**asked):
            for candidate in chunk.candidates or []:
                parts += (candidate.content and candidate.content.parts) or []
            usage = chunk.usage_metadata or usage
        return parts, usage


def refuses(sdk, model, text, kind, words):
    for stream in (False, True):
        try:
            answer = sdk.say(model, text, stream)
            if stream:
                list(sdk.pieces(answer))
        except kind as error:
            if words not in str(error):
                raise AssertionError(f"{words!r} is not in {error}") from error
        else:
            raise AssertionError(f"{text}: no {kind.__name__}")


def is_cut(sdk, model):
    try:
        got = list(sdk.pieces(sdk.say(model, "be cut in the middle", True)))
    except Exception as error:  # Each SDK has its own for a broken line.
        if isinstance(error, AssertionError):
            raise
    else:
        raise AssertionError(f"a cut answer looked whole: {got}")


def cancels(sdk, model):
    stream = sdk.say(model, "count slowly", True)
    pieces = sdk.pieces(stream)
    if not next(pieces):
        raise AssertionError("no piece")
    pieces.close()
    stream.close()


for sdk in (Chat(), Responses(), Messages(), Gemini()):
    name = type(sdk).__name__
    names = sdk.names()
    for model in MODELS:
        bare = model.split("/", 1)[1]
        if model not in names and bare not in names:
            raise AssertionError(f"{name}: {model} is not listed")
        for stream in (False, True):
            sdk.round(model, stream)
            print(f"{name} {model} {'streams' if stream else 'answers'}", flush=True)
        limited, bad, busy = sdk.errors
        refuses(sdk, model, "too many of them", limited, "Slow down, says the double")
        refuses(sdk, model, "a bad request", bad, "That is no good, says the double")
        refuses(sdk, model, "be overloaded", busy, "Too busy, says the double")
        print(f"{name} {model} refuses", flush=True)
        is_cut(sdk, model)
        cancels(sdk, model)
        print(f"{name} {model} cancels", flush=True)
    text = "".join(sdk.pieces(sdk.say("demo/app", "hello", True)))
    if "scripted demo" not in text:
        raise AssertionError(f"{name}: the demo said {text!r}")
    print(f"{name} demo/app streams", flush=True)
print("done")
