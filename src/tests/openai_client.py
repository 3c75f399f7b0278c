"""What a program does that speaks the OpenAI protocol, with the `openai` package as it is: argument 1 is Milo's address, 2 a
recording of the question, 3 and 4 the question's words and what the answer must hold."""

import io
import sys
import wave

import openai

base, recording, question, answer = sys.argv[1:5]
client = openai.OpenAI(base_url=base, api_key="0123456789abcdef", max_retries=0)

models = [model.id for model in client.models.list()]
assert models[0] == "demo" and "whisper-1" in models and "tts-1" in models, models
assert client.models.retrieve("demo").id == "demo"

ask = [{"role": "user", "content": question}]
whole = client.chat.completions.create(model="demo", messages=ask)
assert whole.object == "chat.completion" and whole.choices[0].finish_reason == "stop", whole
assert answer in whole.choices[0].message.content, whole
usage = whole.usage
assert usage.prompt_tokens > 10 and usage.completion_tokens > 5, usage
assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage
longer = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": question + " " + question}])
assert longer.usage.prompt_tokens > usage.prompt_tokens, longer.usage

chunks = list(client.chat.completions.create(model="demo", messages=ask, stream=True))
pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
assert len(pieces) > 4 and "".join(pieces).strip() == whole.choices[0].message.content, pieces
assert chunks[-1].choices[0].finish_reason == "stop" and chunks[0].choices[0].delta.role == "assistant", chunks
assert all(chunk.usage is None for chunk in chunks), chunks
counted = {"include_usage": True}
chunks = list(client.chat.completions.create(model="demo", messages=ask, stream=True, stream_options=counted))
assert chunks[-1].usage == usage and not chunks[-1].choices and chunks[-2].choices[0].finish_reason == "stop", chunks[-2:]

short = client.chat.completions.create(model="demo", messages=ask, max_completion_tokens=2)
assert short.usage.completion_tokens == 2, short
assert short.choices[0].finish_reason == "length" and len(short.choices[0].message.content) < len(answer) + 20, short
stopped = client.chat.completions.create(model="demo", messages=ask, stop=[answer])
assert answer not in stopped.choices[0].message.content and stopped.choices[0].finish_reason == "stop", stopped
parts = [{"role": "system", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": question}]}]
assert client.chat.completions.create(model="demo", messages=parts).choices[0].message.content


def refused(kind, says, call):
    try:
        call()
    except kind as error:
        assert says in error.message, error.message
    else:
        raise AssertionError(f"{says}: not refused")


refused(openai.NotFoundError, "demo", lambda: client.chat.completions.create(model="gpt-4", messages=ask))
refused(openai.BadRequestError, "`n`", lambda: client.chat.completions.create(model="demo", messages=ask, n=2))
tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
refused(openai.BadRequestError, "`tools`", lambda: client.chat.completions.create(model="demo", messages=ask, tools=tools))
refused(openai.UnprocessableEntityError, "user's", lambda: client.chat.completions.create(model="demo", messages=[]))
for more, says in [
    ({"messages": [{"role": "user", "content": "x" * 400_001}]}, "400000 are the most"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "at most 4 texts"),
    ({"stop": ["x" * 201]}, "1 to 200 characters"),
    ({"max_tokens": 4_097}, "4096 are the most"),
]:
    asked = {"model": "demo", "messages": ask} | more
    refused(openai.UnprocessableEntityError, says, lambda: client.chat.completions.create(**asked))
stranger = openai.OpenAI(base_url=base, api_key="wrong", max_retries=0)
refused(openai.AuthenticationError, "not the right one", lambda: stranger.models.list())

heard = client.audio.transcriptions.create(model="whisper-1", file=open(recording, "rb"), language="mg")
assert len(set(heard.text.lower().split()) & set(question.lower().split())) >= 2, heard
verbose = client.audio.transcriptions.create(model="whisper-1", file=open(recording, "rb"), response_format="verbose_json")
assert verbose.language == "malagasy" and verbose.duration > 0.5 and verbose.segments[0].end > verbose.segments[0].start, verbose
subtitles = client.audio.transcriptions.create(model="whisper-1", file=open(recording, "rb"), response_format="srt")
assert subtitles.startswith("1\n00:00:0"), subtitles
events = list(client.audio.transcriptions.create(model="whisper-1", file=open(recording, "rb"), stream=True))
assert events[-1].type == "transcript.text.done" and events[-1].text == verbose.text, events
refused(
    openai.BadRequestError,
    "srt",
    lambda: client.audio.transcriptions.create(model="whisper-1", file=open(recording, "rb"), response_format="docx"),
)

refused(
    openai.UnprocessableEntityError,
    "times of segments, not of words",
    lambda: client.audio.transcriptions.create(
        model="whisper-1",
        file=open(recording, "rb"),
        response_format="verbose_json",
        timestamp_granularities=["word"],
    ),
)
segments = client.audio.transcriptions.create(
    model="whisper-1", file=open(recording, "rb"), response_format="verbose_json", timestamp_granularities=["segment"]
)
assert segments.segments[0].text and segments.words is None, segments

for kind, begins in [("wav", b"RIFF"), ("mp3", b"\xff"), ("opus", b"OggS"), ("pcm", b"")]:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=f"{question}.", response_format=kind
    ) as response:
        sound = response.read()
    assert sound.startswith(begins) and len(sound) > 4_000, (kind, len(sound))
    if kind == "pcm":
        assert 0.5 < len(sound) / 2 / 24_000 < 10, len(sound)
    if kind == "wav":
        assert wave.open(io.BytesIO(sound)).getframerate() == 16_000
refused(
    openai.BadRequestError,
    "mp3, opus, wav and pcm",
    lambda: client.audio.speech.create(model="tts-1", voice="alloy", input=question, response_format="aac"),
)
spoken = client.audio.speech.create(model="tts-1", voice="alloy", input=question, response_format="mp3")
again = client.audio.transcriptions.create(model="whisper-1", file=("said.mp3", spoken.content), language="mg")
assert len(set(again.text.lower().split()) & set(question.lower().split())) >= 2, again
print("all right")
