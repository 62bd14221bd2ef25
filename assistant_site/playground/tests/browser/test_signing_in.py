"""From the first visit to the first answer, and out again."""

from playwright.sync_api import expect

from assistant_site.operating.tests.staff import member
from assistant_site.playground.tests.browser.visits import KEY, Visiting, hold_back
from assistant_site.tests.callers import LiveCaller, new_tenant, pauses
from assistant_site.tests.stack import Stack
from tenants import actions


def test_the_printed_link_leads_to_the_first_answer(playground: Stack, vera: LiveCaller, visiting: Visiting) -> None:
    visit = visiting()
    visit.page.goto(f"/#key={KEY}")
    expect(visit.box()).to_be_focused()
    assert "key" not in visit.page.url

    answer = visit.ask("Hello, who are you?")

    assert "demo model" in answer
    assert visit.thread().startswith("thread_")
    expect(visit.page.get_by_role("link", name="Hello, who are you?").first).to_be_visible()


def test_a_link_whose_key_is_old_says_what_to_do(visiting: Visiting) -> None:
    visit = visiting()
    visit.expects("status of 401")
    visit.page.goto("/#key=an-old-key-of-the-start-before-this")

    expect(visit.page.get_by_role("alert")).to_contain_text("not valid any more")
    expect(visit.page.get_by_label("API token")).to_be_visible()


def test_a_wrong_token_is_told_so_and_a_right_one_opens(vera: LiveCaller, visiting: Visiting) -> None:
    visit = visiting()
    visit.expects("status of 401")
    page = visit.page
    page.goto("/")
    field = page.get_by_label("API token")
    expect(field).to_be_focused()
    field.fill("sk-holdfast-wrong")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Incorrect API key")
    expect(field).to_have_value("sk-holdfast-wrong")

    field.fill(f" {vera.token} ")
    page.get_by_role("button", name="Sign in").click()

    expect(visit.box()).to_be_visible()
    assert visit.page.evaluate("Object.values(localStorage).join()").count(vera.token) == 0


def test_staff_choose_a_tenant(playground: Stack, vera: LiveCaller, visiting: Visiting) -> None:
    thread = vera.thread("Said by a program of Vera's")
    visit = visiting()
    session = member("superuser").cookies["sessionid"].value
    visit.context.add_cookies([{"name": "sessionid", "value": session, "url": playground.url}])
    visit.page.goto("/")
    visit.page.get_by_role("searchbox", name="Search tenants").fill(vera.tenant.name)

    visit.page.get_by_role("button", name=vera.tenant.name).click()

    visit.page.get_by_role("link", name="Said by a program of Vera's").click()
    expect(visit.questions()).to_have_text(["Said by a program of Vera's"])
    assert visit.thread() == thread


def test_a_second_tab_need_not_sign_in_and_signing_out_ends_both(vera: LiveCaller, visiting: Visiting) -> None:
    visit = visiting()
    visit.page.goto("/")
    visit.page.get_by_label("API token").fill(vera.token)
    visit.page.keyboard.press("Enter")
    expect(visit.box()).to_be_visible()
    other = visit.tab()
    visit.open(page=other)

    other.get_by_role("button", name="Settings", exact=True).click()
    other.get_by_role("menuitem", name="Sign out").click()

    for page in (other, visit.page):
        expect(page.get_by_label("API token")).to_be_visible()
        assert page.evaluate("sessionStorage.getItem('holdfast.token')") is None
    visit.expects("status of 40[13]")  # a program's token does not end with the page
    assert vera.get("assistants").status == 200


def test_who_signs_in_next_sees_nothing_of_whoever_was_here(
    playground: Stack, vera: LiveCaller, visiting: Visiting
) -> None:
    vera.assistant(name="Vera's own", model="demo-instant")
    vera.thread("Vera's question")
    visit = visiting()
    page = visit.page
    page.goto("/")
    page.get_by_label("API token").fill(vera.token)
    page.keyboard.press("Enter")
    hers = page.get_by_role("link", name="Vera's question").or_(page.get_by_role("heading", name="Vera's own"))
    expect(hers).to_have_count(2)
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_role("menuitem", name="Sign out").click()
    assistants = hold_back(page, "**/v1/assistants?*")
    threads = hold_back(page, "**/v1/threads?*order=desc*")

    page.get_by_label("API token").fill(LiveCaller(*new_tenant("Next"), playground.url).token)
    page.keyboard.press("Enter")

    expect(visit.box()).to_be_visible()
    expect(hers).to_have_count(0)
    for route in assistants + threads:
        route.continue_()
    expect(page.get_by_role("heading", name="What shall we talk about?")).to_be_visible()


def test_a_token_that_ends_meanwhile_leads_back_to_signing_in(vera: LiveCaller, visiting: Visiting) -> None:
    visit = visiting(vera)
    visit.expects("status of 401")
    visit.open()
    visit.box().fill("Not lost")
    actions.revoke_token(vera.tenant.tokens.get())
    waiting = pauses()
    while vera.send("GET", "/v1/assistants").status != 401:  # each process hears of it by itself
        assert next(waiting, False)

    visit.page.keyboard.press("Enter")  # wherever the page has got to meanwhile

    expect(visit.page.get_by_role("alert")).to_be_visible()
    expect(visit.page.get_by_label("API token")).to_be_visible()
    assert visit.page.evaluate("sessionStorage.getItem('holdfast.draft')") == "Not lost"


def test_the_page_says_what_it_is_without_its_program(visiting: Visiting) -> None:
    visit = visiting(java_script_enabled=False)

    visit.page.goto("/")

    expect(visit.page.locator(".start")).to_contain_text("/v1")
    expect(visit.page.get_by_role("link", name="API reference").first).to_be_visible()
