"""The code interpreter: a table goes in, a chart and a workbook come out, into this folder."""

import os
from pathlib import Path

from openai import OpenAI

MODEL = os.environ.get("HOLDFAST_MODEL", "demo")
# The line `call:` is for the demo model. A real model writes the code by itself.
QUESTION = r"""Draw the sales of each month as a chart, and give me the sums in an Excel file.
call:code_interpreter {"code": "import pandas as pd\nimport matplotlib.pyplot as plt\nsales = pd.read_csv('/mnt/data/sales.csv')\nsums = sales.groupby('month').amount.sum()\nsums.plot.bar()\nplt.show()\nsums.to_frame().to_excel('/mnt/data/sums.xlsx')\nprint(sums.sum())"}"""  # noqa: E501
SALES = b"month,amount\n1,10\n1,15\n2,20\n3,30\n"

client = OpenAI()

sales = client.files.create(file=("sales.csv", SALES), purpose="assistants")
assistant = client.beta.assistants.create(
    model=MODEL,
    tools=[{"type": "code_interpreter"}],
    tool_resources={"code_interpreter": {"file_ids": [sales.id]}},
)
thread = client.beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
print("status:", run.status, run.last_error.message if run.last_error else "")

for step in client.beta.threads.runs.steps.list(thread_id=thread.id, run_id=run.id, order="asc"):
    if step.step_details.type == "tool_calls":
        for call in step.step_details.tool_calls:
            if call.type == "code_interpreter":
                for output in call.code_interpreter.outputs:
                    print("printed:", output.logs.strip() if output.type == "logs" else "a picture")

for block in client.beta.threads.messages.list(thread_id=thread.id, run_id=run.id).data[0].content:
    if block.type == "image_file":
        client.files.content(block.image_file.file_id).write_to_file("chart.png")
        print("saved: chart.png")
    elif block.type == "text":
        print(block.text.value)
        for file_id in {note.file_path.file_id for note in block.text.annotations if note.type == "file_path"}:
            name = Path(client.files.retrieve(file_id).filename).name
            client.files.content(file_id).write_to_file(name)
            print("saved:", name)
