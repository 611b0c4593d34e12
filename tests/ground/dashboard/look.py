"""look.py BOOTSTASH SCREENSHOTS: looks at `bootstash dashboard` with a real Chromium, light and dark, narrow and wide,
with the keyboard alone; takes a picture of each, and fails where the browser complains or something is not as it should be.
"""

import base64
import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

import cluster

# Only a fault meets it.
DEADLINE_SECONDS = 300
WIDTHS = {"narrow": 360, "wide": 1600}
# Where nobody takes a picture, but somebody's window ends.
OTHER_WIDTHS = [320, 480, 640, 831, 833, 1024, 1280, 1440, 1599, 1920, 2560]
# Of a picture, down to where nobody looks at it any more.
MOST_HEIGHT = {"narrow": 2600, "wide": 1900}
SECTIONS = ["overview", "attention", "space", "registrations", "nodes", "images"]
# What is worse to read than WCAG 2.1 AA allows: text of less than 4.5 to 1 against what is behind it.
CONTRAST = r"""
const channels = (color) => color.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const color = channels(getComputedStyle(element).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color;
  }
  return [255, 255, 255];
};
const found = new Set();
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.checkVisibility() || element.closest("script, style, .skip")) continue;
  const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) found.add(`${element.tagName} ${element.className}: ${ratio.toFixed(2)}`);
}
return [...found];
"""
NO_NAME = """
return [...document.querySelectorAll("a, button, input, meter, progress, summary, table, section, nav, [tabindex]")]
  .filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby")))
  .map((e) => e.outerHTML.slice(0, 120));
"""
# Words that are broken where they must not be: a cell of one word that is higher than one line.
BROKEN = """
return [...document.querySelectorAll("td.word > span, td.quantity > span, .whole")]
  .filter((e) => !e.querySelector("progress, svg") && e.getClientRects().length > 1).map((e) => e.textContent);
"""
# What is wider than its card, or than the window, which then would have to be moved sideways.
TOO_WIDE = """
const hidden = (e) => e.closest(".skip") || e.closest("thead") && getComputedStyle(e.closest("thead")).position === "absolute";
const end = (e) => Math.min(innerWidth, e.closest("section")?.getBoundingClientRect().right ?? Infinity);
return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !hidden(e)
  && e.getBoundingClientRect().right > end(e) + 1).map((e) => e.outerHTML.slice(0, 120));
"""


def check(is_so, what):
    if not is_so:
        sys.exit(f"look: {what}")


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        check(time.monotonic() < end, f"{what}: it took too long")
        time.sleep(0.2)


@contextlib.contextmanager
def dashboard(program, directory):
    """The link, and the cluster that is shown."""
    shown = cluster.serve(directory / "r.sock")
    command = [program, "--registrar-socket", directory / "r.sock", "--agent-socket", directory / "none", "dashboard",
               "--interval", "1s"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip(), shown
    finally:
        process.terminate()
        check(process.wait(timeout=30) == 0, "the dashboard did not end well")


@contextlib.contextmanager
def chromium(directory):
    """Where it listens. Started here, as chromedriver waits no longer than a minute for it."""
    # Root has no sandbox; the page is our own.
    switches = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-extensions", "--disable-background-networking", "--remote-debugging-port=0"]
    process = subprocess.Popen(["/usr/bin/chromium", *switches, f"--user-data-dir={directory}", "about:blank"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    port = pathlib.Path(directory) / "DevToolsActivePort"
    try:
        wait_for("Chromium", lambda: port.exists() and port.read_text().strip())
        yield f"127.0.0.1:{port.read_text().split()[0]}"
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE_SECONDS)


@contextlib.contextmanager
def browser():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory, chromium(directory) as address:
        options = Options()
        options.debugger_address = address
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        driver.set_page_load_timeout(DEADLINE_SECONDS)
        driver.set_script_timeout(DEADLINE_SECONDS)
        try:
            yield driver
        finally:
            driver.quit()


def show(driver, width, scheme):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def picture(driver, path, most_height):
    width, height = driver.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, most_height), "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png", "clip": clip})
    path.write_bytes(base64.b64decode(shot["data"]))
    # A page has few colours; the documents carry these pictures.
    subprocess.run(["pngquant", "--force", "--strip", "--ext", ".png", "48", path], check=True)


def check_link_counts_once(link):
    for again in [link, link.split("/open")[0] + "/", link[:-4] + "AAAA"]:
        try:
            with urllib.request.urlopen(again, timeout=30):
                check(False, f"{again} was served to another browser")
        except urllib.error.HTTPError as refused:
            check(refused.code == 403, f"{again}: {refused.code}")


def check_loopback_only(link):
    port = f":{urllib.parse.urlsplit(link).port:04X}"
    sockets = [line.split() for table in ["tcp", "tcp6"] for line in open(f"/proc/net/{table}")]
    listening = [socket[1] for socket in sockets if socket[3] == "0A" and socket[1].endswith(port)]
    check(listening == ["0100007F" + port], f"it listens at {listening}, in the words of /proc/net/tcp")


def check_nothing_from_elsewhere(driver, link):
    origin = link.split("/open")[0]
    fetched = driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    check(f"{origin}/sections" in fetched, f"it does not ask again: {fetched}")
    check(all(url.startswith((origin + "/", "data:")) for url in fetched), f"it fetched {fetched}")


def check_content(driver):
    check(driver.title == "bootstash", f"the title is {driver.title}: a text from outside ran")
    headings = [heading.text for heading in driver.find_elements(By.CSS_SELECTOR, "h1, h2")]
    check(len(headings) == 1 + len(SECTIONS), f"headings: {headings}")
    check("<img src=x" in driver.find_element(By.ID, "nodes").text, "a node's problem is not shown as text")
    check(len(driver.find_elements(By.CSS_SELECTOR, "#space svg")) == 4, "not all pictures are there at the first look")


def check_it_lives(driver):
    def moved():
        return driver.execute_script("return document.querySelectorAll('#pool-over-time .line')[0].getAttribute('d')")

    before, jobs = moved(), driver.find_element(By.ID, "registrations").text
    wait_for("a picture that goes on", lambda: moved() != before)
    wait_for("registrations that go on", lambda: driver.find_element(By.ID, "registrations").text != jobs)


def check_keyboard(driver):
    """The first key shows the way past the links; each link leads to its section; what is focused can be seen."""
    driver.execute_script("scrollTo(0, 0); document.activeElement.blur()")
    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    first = driver.switch_to.active_element
    check(first.text == "Skip to content" and first.rect["x"] >= 0, "the first key does not show the way to the content")
    for section in SECTIONS:
        driver.switch_to.active_element.send_keys(Keys.TAB)
        link = driver.switch_to.active_element
        check((link.get_attribute("href") or "").endswith(f"#{section}"), f"no link to {section} by the keyboard")
        outline = driver.execute_script("return getComputedStyle(arguments[0]).outlineWidth", link)
        check(outline == "3px", f"it cannot be seen that {section} is focused: {outline}")
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    wait_for("a link within the page", lambda: driver.execute_script("return scrollY") > 100)


def check_each_look(driver, directory, kind):
    for name, width in WIDTHS.items():
        for scheme in ["light", "dark"]:
            show(driver, width, scheme)
            time.sleep(1)
            driver.execute_script("scrollTo(0, 0)")
            picture(driver, directory / f"{kind}-{name}-{scheme}.png", MOST_HEIGHT[name])
            for what, script in [("hard to read", CONTRAST), ("without a name", NO_NAME), ("too wide", TOO_WIDE), ("broken", BROKEN)]:
                found = driver.execute_script(script)
                check(not found, f"{kind}, {name}, {scheme}: {what}: {found[:5]}")


def check_other_widths(driver):
    for width in OTHER_WIDTHS:
        show(driver, width, "light")
        for what, script in [("too wide", TOO_WIDE), ("broken", BROKEN)]:
            found = driver.execute_script(script)
            check(not found, f"{width} pixels: {what}: {found[:5]}")


def calm_down(driver, shown):
    shown.is_hostile = False
    wait_for("a page without hostile texts", lambda: "<img src=x" not in driver.find_element(By.TAG_NAME, "main").text)


def main():
    program, screenshots = sys.argv[1], pathlib.Path(sys.argv[2])
    screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, dashboard(program, pathlib.Path(directory)) as (link, shown):
        with browser() as driver:
            driver.get(link)
            check(driver.current_url.endswith("/"), f"the link led to {driver.current_url}")
            check_link_counts_once(link)
            check_loopback_only(link)
            driver.refresh()
            check_content(driver)
            show(driver, WIDTHS["wide"], "light")
            check_it_lives(driver)
            check_nothing_from_elsewhere(driver, link)
            check_keyboard(driver)
            check_each_look(driver, screenshots, "hostile")
            check_other_widths(driver)
            calm_down(driver, shown)
            check_each_look(driver, screenshots, "dashboard")
            complaints = driver.get_log("browser")
            check(not complaints, f"the browser complains: {complaints}")
    print(f"look: the dashboard is as it should be; pictures are in {screenshots}")


if __name__ == "__main__":
    main()
