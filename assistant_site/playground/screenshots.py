"""`make screenshots`: the pictures of the playground in docs/images, of a Holdfast of its own with a story in it."""

import contextlib
import io
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize

from assistant_site.embedded import address
from assistant_site.playground import chromium, story
from assistant_site.tests.stack import free_port

PROJECT = Path(__file__).resolve().parents[2]
IMAGES = PROJECT / "docs" / "images"
KEY = "playground-key-of-the-screenshots"
WIDE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
LARGEST = 150_000  # bytes of a picture
PATIENCE = 120  # seconds
PRICES = {"gpt-4.1": (2.0, 8.0), "gpt-4.1-mini": (0.4, 1.6), "qwen3-32b": (0.1, 0.3)}


def main() -> None:
    chromium.executable()  # before anything is started, so that what is missing is said at once
    with tempfile.TemporaryDirectory(prefix="holdfast-pictures-") as folder, story.Model() as model:
        os.environ |= environment(Path(folder), model)
        with holdfast(Path(folder)) as url:
            teller = Teller(url)
            teller.tell()
            write_history(teller)
            with chromium.opened() as browser:
                for scheme in ("light", "dark"):
                    photograph(browser, teller, scheme)


# --- An installation -------------------------------------------------------------------------------------------------


def environment(folder: Path, model: story.Model) -> dict[str, str]:
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user and must get to its data
    built = PROJECT / "var" / "sandbox"
    return {
        "HOLDFAST_VAR": str(folder),
        "HOLDFAST_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "assistant_site.settings",
        "PORT": str(free_port()),
        "PLAYGROUND_KEY": KEY,
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_API_KEY": "none",
        "EMBEDDING_MODEL": "off",
        # Without the sandbox's Python the story is told without code; building one takes longer than the pictures.
        **({"SANDBOX_DIR": str(built.resolve())} if built.exists() else {"CODE_INTERPRETER": "off"}),
    }


@contextlib.contextmanager
def holdfast(folder: Path) -> Iterator[str]:
    port = int(os.environ["PORT"])
    log = folder / "screenshots.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "manage.py", "up"], cwd=PROJECT, stdout=output, stderr=output)
    try:
        until(lambda: process.poll() is not None or not address.not_ready("127.0.0.1", port))
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise SystemExit("It takes too long.")
        time.sleep(0.1)
    return found


# --- The story -------------------------------------------------------------------------------------------------------


class Teller:
    """Fills the installation through its API, and knows afterwards which thread is which."""

    def __init__(self, url: str) -> None:
        self.url = url
        entered = requests.post(f"{url}/playground/enter", json={"key": KEY}, timeout=30).json()
        self.token: str = entered["token"]
        self.tenant: str = entered["tenant"]["id"]
        self.assistants: dict[str, str] = {}
        self.threads: dict[story.Scene, str] = {}

    def tell(self) -> None:
        if "CODE_INTERPRETER" not in os.environ:
            until(lambda: self.get("/health")["code_interpreter"]["state"] == "available")
        for name, fields in story.ASSISTANTS.items():
            self.assistants[name] = self.post("/v1/assistants", fields)["id"]
        for scene in story.SCENES:
            self.threads[scene] = self.play(scene)

    def play(self, scene: story.Scene) -> str:
        message: dict[str, Any] = {"role": "user", "content": scene.asks}
        if scene.file:
            name, text = scene.file
            made = self.send("POST", "/v1/files", files={"file": (name, text)}, data={"purpose": "assistants"})
            tools = [{"type": "file_search"}, {"type": "code_interpreter"}]
            message["attachments"] = [{"file_id": made["id"], "tools": tools}]
        titled = {"title": scene.title} if scene.title else {}
        thread: str = self.post("/v1/threads", {"messages": [message], **titled})["id"]
        run = self.post(f"/v1/threads/{thread}/runs", {"assistant_id": self.assistants[scene.assistant]})
        rests = ("completed", "requires_action", "failed", "expired", "incomplete")
        ended = until(
            lambda: (found := self.get(f"/v1/threads/{thread}/runs/{run['id']}"))["status"] in rests and found
        )
        if ended["status"] not in ("completed", "requires_action"):
            raise SystemExit(f"{scene.asks} {ended['last_error']}")
        return thread

    def get(self, path: str) -> Any:
        return self.send("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.send("POST", path, json=body)

    def send(self, method: str, path: str, **given: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.request(method, self.url + path, headers=headers, timeout=60, **given)
        answer.raise_for_status()
        return answer.json()


def write_history(teller: Teller) -> None:
    """What the API cannot tell: that some of this was days ago, and what the days before it came to."""
    import django

    django.setup()
    from django.utils import timezone

    from assistant_site.db import scope
    from metering.models import EntryKind, UsageDay
    from tenants.models import Tenant
    from threads.models import Message, Thread

    dice = random.Random(8)  # noqa: S311
    today = datetime.now(UTC).date()
    with scope.everything():
        tenant = Tenant.objects.get(pk=teller.tenant)
        for scene, thread in teller.threads.items():
            if scene.days:
                then = timezone.now() - timedelta(days=scene.days)
                Thread.objects.across_tenants().filter(pk=thread).update(created_at=then)
                Message.objects.across_tenants().filter(thread_id=thread).update(created_at=then)
        for ago in range(1, 29):
            day = today - timedelta(days=ago)
            load = (0.3 if day.weekday() >= 5 else 1.0) * (1.4 - ago / 40)
            for fields, part in zip(story.ASSISTANTS.items(), (0.5, 0.8, 1.0), strict=True):
                name, assistant = fields
                prompt, completion = (int(load * part * dice.uniform(0.7, 1.3) * each) for each in (90_000, 21_000))
                price = PRICES[assistant["model"]]
                runs = max(1, int(load * part * dice.uniform(20, 40)))
                UsageDay.objects.across_tenants().create(
                    tenant=tenant,
                    day=day,
                    kind=EntryKind.RUN,
                    model=assistant["model"],
                    assistant_id=teller.assistants[name],
                    requests=runs * 2,
                    runs=runs,
                    prompt_tokens=prompt,
                    cached_tokens=prompt // 3,
                    completion_tokens=completion,
                    tool_calls=runs if assistant.get("tools") else 0,
                    cost=round((prompt * price[0] + completion * price[1]) / 1_000_000, 6),
                )


# --- The pictures ----------------------------------------------------------------------------------------------------


def photograph(browser: Browser, teller: Teller, scheme: str) -> None:
    options: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce", "locale": "en-GB"}
    context = browser.new_context(base_url=teller.url, viewport=WIDE, **options)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("API token").wait_for()
    keep(page, "signin", scheme)
    sign_in(page)

    page.get_by_role("button", name="Close the panel").click()
    page.get_by_role("link", name=story.CONVERSATION.title).wait_for()
    keep(page, "start", scheme)
    show(page, teller.threads[story.CONVERSATION])
    page.locator(".said .katex").wait_for()
    page.locator(".said [class^=hljs]").first.wait_for()
    keep(page, "conversation", scheme)
    page.get_by_role("main").get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("tabpanel", name="Run").get_by_text("run_").first.wait_for()
    keep(page, "run", scheme)
    page.get_by_role("main").get_by_role("button", name="Show the code for this").click()
    page.get_by_role("region", name="Program").wait_for()
    keep(page, "code", scheme)
    page.keyboard.press("Escape")
    page.get_by_role("main").get_by_role("button", name="Assistant", exact=True).click()
    page.get_by_role("tabpanel", name="Assistant").get_by_label("Instructions").wait_for()
    keep(page, "assistant", scheme)
    show(page, teller.threads[story.WAITING])
    page.get_by_role("button", name="Close the panel").click()
    page.get_by_role("form").get_by_role("textbox").first.fill('{"status": "out for delivery", "eta": "18:00"}')
    keep(page, "waiting", scheme)
    page.goto("/#/usage")
    page.get_by_role("main").get_by_role("table").first.wait_for()
    page.wait_for_load_state("networkidle")
    keep(page, "usage", scheme)
    context.close()

    context = browser.new_context(base_url=teller.url, viewport=PHONE, device_scale_factor=2, **options)
    page = context.new_page()
    sign_in(page)
    show(page, teller.threads[story.CONVERSATION])
    page.locator(".said .katex").wait_for()
    keep(page, "phone", scheme)
    context.close()


def sign_in(page: Page) -> None:
    page.goto("about:blank")  # so that what follows is a visit, not a move within the page
    page.goto(f"/#key={KEY}")
    page.get_by_role("textbox", name="Message", exact=True).wait_for()


def show(page: Page, thread: str) -> None:
    page.goto(f"/#/threads/{thread}")
    page.locator("article.message").first.wait_for()
    page.wait_for_load_state("networkidle")


def keep(page: Page, name: str, scheme: str) -> None:
    """With as many colours as the size allows."""
    page.evaluate(chromium.SETTLED)
    page.mouse.move(700, 2)  # over nothing that shows it
    taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colours in (256, 128, 64, 32):
        output = io.BytesIO()
        few = taken.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(output, "PNG", optimize=True)
        if output.tell() < LARGEST:
            break
    file = IMAGES / f"playground-{name}-{scheme}.png"
    file.write_bytes(output.getvalue())
    sys.stdout.write(f"{file.relative_to(PROJECT)}  {output.tell() / 1000:.0f} kB, {colours} colours\n")


if __name__ == "__main__":
    main()
