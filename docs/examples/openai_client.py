# The Python package `openai` against the gateway. (A file called openai.py would be taken for the package.)
#   GATEWAY_URL=http://localhost:8000 GATEWAY_API_KEY=fgw_… python openai_client.py
import os
import time

from openai import APIStatusError, OpenAI

client = OpenAI(
    base_url=os.environ.get("GATEWAY_URL", "http://localhost:8000") + "/v1",
    api_key=os.environ["GATEWAY_API_KEY"],
)

# The chatflows you may use. An administrator gives them readable ids: PATCH /api/v1/admin/chatflows/{id} {"alias": "…"}.
models = [model.id for model in client.models.list()]
print("models:", ", ".join(models))
model = os.environ.get("GATEWAY_MODEL", models[0])

# One answer. Every call stands alone: what was said before goes along as messages.
completion = client.chat.completions.create(
    model=model,
    messages=[
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada!"},
        {"role": "user", "content": "What is my name?"},
    ],
)
print("answer:", completion.choices[0].message.content)
print("charged:", completion.model_extra["gateway"]["credits_charged"])

# An answer as it comes. Flows that report their tokens tell them in the last chunk.
stream = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "Say that again, slowly."}],
    stream=True,
    stream_options={"include_usage": True},
)
text = ""
for chunk in stream:
    if chunk.choices:
        text += chunk.choices[0].delta.content or ""
print("streamed:", text)

# A conversation that the gateway remembers: only the new question is needed.
talk = {"X-Session-Id": f"example-{time.time_ns()}"}
for content in ["I like tea.", "What do I like?"]:
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}], extra_headers=talk
    )
    print("remembered:", reply.choices[0].message.content)

# What is refused says what is wrong.
try:
    client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hello?"}])
except APIStatusError as error:
    print("refused:", error.status_code, error.code, error.param)
