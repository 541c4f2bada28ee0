#!/usr/bin/env python3
"""rudd-serve's page in a real browser: headless Chromium, driven over its DevTools protocol, against a live server.

    tests/parity/peers.sh run tests/parity/parity_page.py build [--model FILE] [--pictures DIR] [--screenshots DIR]

What a person does with it: chooses one picture, pastes one, drops several, corrects an answer, downloads the table, comes back later, enters a
key, uses the keyboard alone, changes language and colours. No message of the browser's console may come (the policy blocks nothing the page
needs). With --screenshots the page is photographed as a phone and a desk show it. Ends with `N passed, N failed`.
Without Chromium it says so and tests nothing.
"""
import argparse
import base64
import contextlib
import io
import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib

from checks import check, finish, skip

arguments = argparse.ArgumentParser()
arguments.add_argument("build", nargs="?", default="build")
arguments.add_argument("--model")
arguments.add_argument("--pictures")
arguments.add_argument("--screenshots")
options = arguments.parse_args()


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if not CHROMIUM:
    skip("the page:", "no Chromium here (apt-get install chromium)")
    sys.exit(finish())


# ---- the browser -------------------------------------------------------------------------------------------------------------------
class Browser:
    """Chromium with its protocol on two pipes: messages are JSON, each ended by a 0 byte."""

    def __init__(self, folder):
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()

        def wire():  # the protocol's descriptors are 3 (to the browser) and 4 (from it)
            os.dup2(to_read, 63), os.dup2(from_write, 64)
            os.dup2(63, 3), os.dup2(64, 4)

        flags = ["--headless=new", "--remote-debugging-pipe", "--user-data-dir=" + folder, "--no-first-run", "--disable-gpu",
                 "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-extensions", "--disable-background-networking", "--lang=en-US"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        self.process = subprocess.Popen([CHROMIUM, *flags, "about:blank"], preexec_fn=wire, close_fds=False, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_read), os.close(from_write)
        self.out, self.inp = os.fdopen(to_write, "wb", 0), os.fdopen(from_read, "rb", 0)
        self.number, self.buffer, self.events, self.session = 0, b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.call(domain + ".enable")

    def message(self):
        while b"\0" not in self.buffer:
            piece = os.read(self.inp.fileno(), 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            self.buffer += piece
        one, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, **params):
        self.number += 1
        text = {"id": self.number, "method": method, "params": params}
        if self.session:
            text["sessionId"] = self.session
        self.out.write(json.dumps(text).encode() + b"\0")
        while True:
            m = self.message()
            if m.get("id") == self.number:
                if "error" in m:
                    raise RuntimeError(f"{method}: {m['error']}")
                return m["result"]
            self.events.append(m)

    def js(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(expression + ": " + json.dumps(answer["exceptionDetails"])[:600])
        return answer["result"].get("value")

    def until(self, expression, seconds=20):
        end = time.time() + seconds
        while time.time() < end:
            if self.js(expression):
                return True
            time.sleep(.05)
        return False

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def complaints(self):
        """What the console said and no test asked for. A refused request is noted there by the browser itself; that is the network's."""
        said = [m["params"]["entry"]["text"] for m in self.events if m["method"] == "Log.entryAdded" and m["params"]["entry"]["source"] != "network"]
        said += [json.dumps(m["params"])[:300] for m in self.events if m["method"] == "Runtime.exceptionThrown"]
        return said

    def key(self, name, code, shift=False):
        text = {"Enter": "\r", " ": " "}.get(name)
        more = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name if name != " " else "Space", windowsVirtualKeyCode=code,
                      modifiers=8 if shift else 0, **(more if kind == "keyDown" else {}))

    def files(self, selector, paths):
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=paths)

    def size(self, width, height, phone):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def photograph(self, path):
        time.sleep(.6)  # bars grow
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        with open(path, "wb") as f:
            f.write(base64.b64decode(shot["data"]))

    def close(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


# ---- the server --------------------------------------------------------------------------------------------------------------------
def png(seed, size=96):
    rows = b"".join(b"\0" + bytes((x * (seed + 1) + y * (3 - c) + (x * y >> 3)) * (c + seed + 1) & 255 for x in range(size) for c in range(3))
                    for y in range(size))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


CLASSES = [{"name": "esox_lucius", "latin": "Esox lucius", "en": "northern pike", "ru": "щука"},
           {"name": "perca_fluviatilis", "latin": "Perca fluviatilis", "en": "European perch", "ru": "окунь"},
           {"name": "lota_lota", "latin": "Lota lota", "en": "burbot", "ru": "налим"}]


def make_model(folder):
    """A small network with random weights, and a label map with names in three languages."""
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
    first, plain, path = (os.path.join(folder, n) for n in ("first.safetensors", "plain.safetensors", "fish.safetensors"))
    save_file({"conv_stem.weight": 0.3 * np.random.default_rng(1).standard_normal((32, 3, 3, 3), dtype=np.float32)}, first)
    with open(os.path.join(folder, "classes.txt"), "w") as f:
        f.write("\n".join(c["name"] for c in CLASSES) + "\n")
    subprocess.run([os.path.join(options.build, "rudd"), "import", first, "-o", plain, "--arch", "efficientnet_b0", "--allow-missing", "--classes", f.name],
                   check=True, capture_output=True)
    with safe_open(plain, "np") as f:
        facts = dict(f.metadata(), **{"rudd.classes": json.dumps(CLASSES, ensure_ascii=False)})
        save_file({k: f.get_tensor(k) for k in f.keys()}, path, metadata=facts)
    return path


class Server:
    def __init__(self, model, *more):
        self.process = subprocess.Popen([os.path.join(options.build, "rudd-serve"), "--model", model, "--listen", "127.0.0.1:0", *more],
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def close(self):
        self.process.terminate()
        self.process.wait()


SEEN = "document.activeElement && (document.activeElement.id || document.activeElement.className || document.activeElement.tagName)"


def use_the_page(b, url, pictures):
    b.open(url)
    check("the page says which model answers", b.until("$('about').textContent.length > 10"), b.js("$('about').textContent"))
    check("it starts in the browser's language", b.js("document.documentElement.lang") == "en" and "picture" in b.js("document.querySelector('h1').textContent"))

    b.files("#file", pictures[:1])
    check("a chosen picture is answered", b.until("!$('answer').hidden"), b.js("$('status').textContent"))
    check("the species card has three names", b.js("$('name').textContent && $('latin').textContent && $('other').textContent"),
          b.js("[$('name').textContent, $('latin').textContent, $('other').textContent].join(', ')"))
    check("as many bars as answers, widest first", b.js("(() => { const p = [...document.querySelectorAll('#top .pair span')].map(e => parseFloat(e.textContent.replace('<', '')));"
                                                         "return p.length >= 3 && p.every((x, i) => !i || x <= p[i - 1]); })()"))
    check("the live region says the answer", b.js("$('status').textContent.includes($('name').textContent) && $('status').getAttribute('aria-live') === 'polite'"))
    check("the preview shows and has a description", b.until("!$('preview').hidden && $('preview').naturalWidth > 0 && $('preview').alt.length > 5"))

    english = b.js("$('name').textContent")
    b.js("$('language').click()")
    check("Russian at a click: words and species", b.js("document.documentElement.lang === 'ru' && /[а-я]/.test($('name').textContent) && /снимке/.test(document.title)"),
          english + " = " + b.js("$('name').textContent"))
    b.js("$('language').click()")

    b.js("(async () => { const d = new DataTransfer(), c = document.createElement('canvas'); c.width = c.height = 64; c.getContext('2d').fillRect(5, 9, 30, 20);"
         "const blob = await new Promise(r => c.toBlob(r, 'image/webp')); d.items.add(new File([blob], 'pasted.webp', {type: 'image/webp'}));"
         "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: d, bubbles: true})); })()")
    check("a pasted picture is answered, though it is WebP", b.until("shown.name === 'pasted.webp' && shown.answer"), b.js("shown.problem && shown.problem.message") or "")

    b.js("(async () => { const d = new DataTransfer(); for (let i = 0; i < 6; i++) { const c = document.createElement('canvas'); c.width = c.height = 64;"
         "const x = c.getContext('2d'); x.fillStyle = 'hsl(' + 60 * i + ' 70% 50%)'; x.fillRect(0, 0, 64, 64);"
         "d.items.add(new File([await new Promise(r => c.toBlob(r, 'image/png'))], i ? 'p' + i + '.png' : '=1+1,\"a\".png', {type: 'image/png'})); }"
         "d.items.add(new File(['no picture'], 'broken.png', {type: 'image/png'}));"
         "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true, cancelable: true})); })()")
    check("dropped pictures fill a table", b.until("items.length === 7 && items.every(x => x.answer || x.problem) && document.querySelectorAll('#rows tr').length === 7"))
    check("a broken one among them spoils no other", b.js("items.filter(x => x.answer).length === 6 && Boolean(items[6].problem)"), b.js("items[6].problem.message"))
    broken = "document.querySelectorAll('#rows tr')[6].cells[2].textContent"
    english = b.js(broken)
    b.js("$('language').click()")
    check("what was wrong with it is said in the language of the page", "JPEG" in english and b.js("/^[А-Я][^A-Z]*JPEG/.test(" + broken + ")"), b.js(broken))
    b.size(390, 800, True)
    check("on a phone the table fits its card", b.js("document.querySelector('.scroll').scrollWidth <= document.querySelector('.scroll').clientWidth"),
          b.js("document.querySelector('.scroll').scrollWidth"))
    b.size(1280, 800, False)
    b.js("$('language').click()")
    table = b.js("csv()")
    import csv
    rows = list(csv.reader(io.StringIO(table.lstrip("\ufeff"))))
    check("the CSV holds every row, whole", len(rows) == 8 and all(len(r) == 12 for r in rows) and rows[1][0] == "'=1+1,\"a\".png" and rows[7][11], rows[1])
    folder = tempfile.mkdtemp()
    b.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
    b.js("$('csv').click()")
    for _ in range(100):
        if "rudd.csv" in os.listdir(folder):
            break
        time.sleep(.05)
    check("the CSV can be downloaded", os.listdir(folder) == ["rudd.csv"], os.listdir(folder))
    shutil.rmtree(folder)

    b.js("document.querySelectorAll('#rows button')[2].click()")
    check("a row opens its answer and moves the focus there", b.js("shown === items[2] && " + SEEN) == "result")
    b.open(url)
    check("what was before is there after a reload", b.until("document.querySelectorAll('#old li').length === 8"), b.js("past.length"))
    b.js("document.querySelector('#old button').click()")
    check("and can be shown again", b.js("!$('answer').hidden && $('preview').src.startsWith('data:image/jpeg')"))
    b.js("$('clear').click()")
    check("and cleared, from the browser too", b.js("$('past').hidden && localStorage.getItem('rudd.past') === null"))


def use_the_keyboard(b, url):
    b.open(url)
    b.until("$('about').textContent.length > 10")
    order = []
    for _ in range(12):
        b.key("Tab", 9)
        order.append(b.js(SEEN))
    check("the keyboard reaches everything, in reading order", order[:4] == ["skip", "language", "theme", "file"], order)
    check("nothing traps it", order.count("file") == 2, order)
    b.js("$('language').focus()")
    b.key("Enter", 13)
    check("a button answers to Enter", b.js("document.documentElement.lang") == "ru")
    b.key(" ", 32)
    check("and to the space bar", b.js("document.documentElement.lang") == "en")
    check("a focused element is outlined", b.js("parseFloat(getComputedStyle($('language')).outlineWidth) >= 2"))


NAMES = """(() => { const bad = []; for (const e of document.querySelectorAll('button, input, select, a, img, dialog, section, [role=region]')) {
  if (e.closest('[hidden]')) continue; const label = e.getAttribute('aria-label') || e.getAttribute('alt') || e.textContent.trim() ||
  (e.labels && [...e.labels].map(l => l.textContent.trim()).join('')) || (e.getAttribute('aria-labelledby') && $(e.getAttribute('aria-labelledby')).textContent);
  if (!label && !(e.tagName === 'IMG' && e.alt === '')) bad.push(e.outerHTML.slice(0, 80)); } return bad; })()"""

CONTRAST = """(() => { const c = getComputedStyle(document.documentElement), hex = n => { let h = c.getPropertyValue(n).trim().slice(1);
  if (h.length === 3) h = [...h].map(x => x + x).join(''); return [0, 2, 4].map(i => parseInt(h.slice(i, i + 2), 16) / 255)
  .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); }, light = n => { const [r, g, b] = hex(n); return .2126 * r + .7152 * g + .0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); }, bad = [];
  for (const n of ['--text', '--soft', '--bad', '--sure', '--likely', '--unsure']) for (const on of ['--card', '--back'])
    if (ratio(n, on) < 4.5) bad.push(n + ' on ' + on + ' ' + ratio(n, on).toFixed(2));
  if (ratio('--on', '--accent') < 4.5) bad.push('button ' + ratio('--on', '--accent').toFixed(2));
  for (const n of ['--edge', '--focus', '--sure', '--likely', '--unsure']) for (const on of ['--card', '--track'])
    if (ratio(n, on) < 3) bad.push(n + ' on ' + on + ' ' + ratio(n, on).toFixed(2)); return bad; })()"""


def check_access(b, url):
    for theme in ("light", "dark"):
        b.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        b.js("try { localStorage.clear() } catch {}")
        b.open(url)
        check("the system's colours are taken: " + theme, b.js("document.documentElement.dataset.theme") == theme)
        bad = b.js(CONTRAST)
        check(f"contrast in {theme}: 4.5 for text, 3 for edges and bars (WCAG 1.4.3, 1.4.11)", not bad, bad)
    bad = b.js(NAMES)
    check("everything that can be used has a name", not bad, bad)
    for width in (320, 390, 1280):
        b.size(width, 800, width < 500)
        check(f"no sideways scrolling at {width} pixels", b.js("document.documentElement.scrollWidth <= innerWidth"), b.js("document.documentElement.scrollWidth"))


def use_feedback(b, url, model, folder, pictures):
    """Without a store nothing is asked; with one, what the buttons say stands in it when the server is gone."""
    b.open(url)
    b.until("facts.service")
    b.files("#file", [pictures[0]])
    b.until("!$('answer').hidden")
    check("no feedback is asked for where the server takes none", b.js("$('feedback').hidden"))
    store = os.path.join(folder, "store.sqlite")
    server = Server(model, "--store", store)
    try:
        b.open(server.url)
        b.until("facts.service")
        b.files("#file", [pictures[0]])
        b.until("!$('answer').hidden")
        check("feedback is asked for where the server takes it", not b.js("$('feedback').hidden"))
        seen = b.js("shown.answer.class")
        b.js("$('yes').click()")
        check("yes: it is taken", b.until("shown.told && $('thanks').textContent.length > 5"), b.js("$('thanks').textContent"))
        b.files("#file", [pictures[1]])
        b.until("!$('answer').hidden && !shown.told")
        b.js("$('no').click()")
        check("no: which species it is can be said", b.js("!$('correction').hidden && $('label').options.length >= 3 && document.activeElement === $('label')"))
        b.size(320, 700, True)
        check("the list of species fits a phone", b.js("document.documentElement.scrollWidth <= innerWidth && $('label').getBoundingClientRect().right <= innerWidth"))
        b.size(1280, 800, False)
        b.js("$('correction').requestSubmit()")
        check("nothing is sent before a species is chosen", b.js("$('label').value === '' && !$('correction').checkValidity() && !shown.told"))
        said = b.js("($('label').selectedIndex = 1, $('label').value)")
        b.js("$('correction').requestSubmit()")
        check("and is taken", b.until("shown.told && $('thanks').textContent.length > 5"), b.js("$('thanks').textContent"))
    finally:
        server.close()
    with contextlib.closing(sqlite3.connect(store)) as db:
        rows = db.execute("SELECT f.label, p.class FROM feedback f JOIN predictions p ON p.id = f.prediction_id ORDER BY f.time").fetchall()
    check("both stand in the store, by the predictions that they speak of", [r[0] for r in rows] == [seen, said] and rows[0][0] == rows[0][1], rows)


def use_the_docs(b, url, picture):
    """Every operation of the description is drawn, and its form gets an answer."""
    b.open(url + "/docs")
    check("/docs: the description is drawn", b.until("document.querySelectorAll('details').length > 10"))
    api = json.load(urllib.request.urlopen(url + "/openapi.json"))
    operations = [f"{method.upper()} {path}" for path, methods in api["paths"].items() for method in methods]
    drawn = b.js("[...document.querySelectorAll('summary')].map(s => s.querySelector('b').textContent + ' ' + s.querySelector('code').textContent)")
    check("/docs: all of its operations", sorted(drawn) == sorted(operations), set(operations) ^ set(drawn))
    at = "[...document.querySelectorAll('details')].find(d => [...d.querySelector('summary').children].slice(0, 2).map(x => x.textContent).join(' ') === '%s')"
    for operation in ("GET /health", "GET /model_info"):
        b.js(f"(d => {{ d.open = true; d.querySelector('form').requestSubmit() }})({at % operation})")
        check(f"/docs: {operation} answers", b.until(f"{at % operation}.querySelector('form pre').textContent.startsWith('200')"))
    predict = at % "POST /predict"
    b.js(f"(d => {{ d.open = true; d.querySelector('input[type=file]').id = 'docs-file' }})({predict})")
    b.files("#docs-file", [picture])
    b.js(f"{predict}.querySelector('form').requestSubmit()")
    check("/docs: POST /predict answers a picture", b.until(f"{predict}.querySelector('form pre').textContent.includes('predicted_class')"))
    for width in (320, 390, 1280):
        b.size(width, 800, width < 500)
        check(f"/docs: no sideways scrolling at {width} pixels", b.js("document.documentElement.scrollWidth <= innerWidth"), b.js("document.documentElement.scrollWidth"))


def use_a_key(b, model, folder, picture):
    keys = os.path.join(folder, "keys")
    made = subprocess.run([os.path.join(options.build, "rudd-serve"), "--help"], capture_output=True, text=True).stdout
    if "--keys" not in made:
        return
    import hashlib
    with open(keys, "w") as f:
        f.write(f"page predict sha256:{hashlib.sha256(b'correct-horse-battery-staple-1234').hexdigest()}\n")
    os.chmod(keys, 0o600)
    server = Server(model, "--keys", keys)
    try:
        b.js("try { sessionStorage.clear() } catch {}")
        b.open(server.url)
        check("a server that wants a key: the page asks for it", b.until("$('ask-key').open"))
        b.js("$('key').value = 'wrong'; $('key-form').requestSubmit()")
        check("a wrong one: it asks again", b.until("$('ask-key').open && $('key').value === ''"))
        b.js("$('key').value = 'correct-horse-battery-staple-1234'; $('key-form').requestSubmit()")
        check("the right one: it works", b.until("$('about').textContent.length > 10"))
        b.files("#file", [picture])
        check("and for pictures", b.until("!$('answer').hidden"))
        check("the key lies in this tab's storage alone", b.js("sessionStorage.getItem('rudd.key').length > 9 && !JSON.stringify(localStorage).includes('horse')"))
    finally:
        server.close()


def photograph(b, url, pictures):
    os.makedirs(options.screenshots, exist_ok=True)
    for device, width, height in (("phone", 390, 844), ("desk", 1280, 800)):
        for theme in ("light", "dark"):
            b.size(width, height, device == "phone")
            b.open(url)
            b.js(f"localStorage.clear(); localStorage.setItem('rudd.theme', '{theme}'); localStorage.setItem('rudd.language', '{'ru' if theme == 'dark' else 'en'}')")
            b.open(url)
            b.until("model !== null")
            b.photograph(os.path.join(options.screenshots, f"{device}-{theme}-empty.png"))
            b.files("#file", pictures[:5])
            b.until("items.length && items.every(x => x.answer)")
            b.photograph(os.path.join(options.screenshots, f"{device}-{theme}.png"))
        b.open(url + "/docs")
        b.until("document.querySelectorAll('details').length > 10")
        b.photograph(os.path.join(options.screenshots, f"{device}-docs.png"))
        b.js("(d => { d.open = true; d.querySelector('form').requestSubmit(); d.scrollIntoView() })([...document.querySelectorAll('details')].find(d => d.querySelector('code').textContent === '/model_info'))")
        b.until("[...document.querySelectorAll('form pre')].some(p => p.textContent.startsWith('200'))")
        b.photograph(os.path.join(options.screenshots, f"{device}-docs-open.png"))
    b.size(900, 560, False)
    b.js("localStorage.clear(); localStorage.setItem('rudd.theme', 'light')")
    b.open(url)
    b.until("model !== null")
    b.files("#file", pictures[5:6])
    b.until("!$('answer').hidden")
    b.js("$('past').hidden = true")
    b.photograph(os.path.join(options.screenshots, "page.png"))


def main():
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or make_model(folder)
        if options.pictures:
            pictures = sorted(os.path.join(at, n) for at, _, names in os.walk(options.pictures) for n in names if n.endswith((".jpg", ".png")))
            pictures = [os.path.abspath(p) for p in pictures[:: max(1, len(pictures) // 6)]]
        else:
            pictures = [os.path.join(folder, f"picture{i}.png") for i in range(6)]
            for i, path in enumerate(pictures):
                with open(path, "wb") as f:
                    f.write(png(i))
        server, browser = Server(model), Browser(os.path.join(folder, "browser"))
        try:
            use_the_page(browser, server.url, pictures)
            use_the_keyboard(browser, server.url)
            check_access(browser, server.url)
            use_feedback(browser, server.url, model, folder, pictures)
            use_the_docs(browser, server.url, pictures[0])
            use_a_key(browser, model, folder, pictures[0])
            if options.screenshots:
                photograph(browser, server.url, pictures)
            complaints = browser.complaints()
            check("the browser's console has nothing to say", not complaints, complaints[:3])
        finally:
            browser.close()
            server.close()
    return finish()


sys.exit(main())
