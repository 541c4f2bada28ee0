#!/usr/bin/env python3
"""deploy/ against a live rudd-serve: every metric and label that the dashboard, the alerts and their tests name is one that the server has.

    tests/parity/peers.sh run tests/parity/parity_metrics_deploy.py build

A small network is trained on a few drawn pictures, served, and asked in every way that makes a metric appear. Its text is given to `promtool check
metrics`, rules, configuration and the alerts' own tests to promtool, too (Debian package prometheus; without it these are skipped), the unit to
systemd-analyze. Ends with `N passed, N failed[, N skipped]`.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from checks import BUILD, check, finish, skip


DEPLOY = "deploy"


def tool(name, *args, text=None):
    """Runs a program that may not be there."""
    if not shutil.which(args[0]):
        skip(name, f"- {args[0]} is not installed")
        return
    done = subprocess.run(args, input=text, capture_output=True, text=True)
    check(name, done.returncode == 0, done.stdout + done.stderr)
    return done


def ask(url, body=None, headers={}):
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        return error.read()


# ---- what the server has ------------------------------------------------------------------------------------------------------------------

with tempfile.TemporaryDirectory() as folder:
    data, run = os.path.join(folder, "data"), os.path.join(folder, "run")
    log, store = os.path.join(folder, "access.log"), os.path.join(folder, "store.sqlite")
    rudd = os.path.join(BUILD, "rudd")
    subprocess.run([rudd, "data", "synth", "-o", data, "--per-class", "4", "--size", "48"], check=True, capture_output=True)
    subprocess.run([rudd, "train", "--quiet", "--data", data, "--arch", "rudd_nano", "--image-size", "48", "--epochs", "1", "--out", run], check=True,
                   capture_output=True)
    server = subprocess.Popen([os.path.join(BUILD, "rudd-serve"), "--model", os.path.join(run, "model.safetensors"), "--listen", ":0", "--access-log",
                               log, "--store", store], stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().split()[-1]
    fresh = ask(url + "/metrics").decode()
    picture = open(sorted(glob.glob(os.path.join(data, "train", "*", "*")))[0], "rb").read()
    for _ in range(2):
        answer = json.loads(ask(url + "/predict", picture))
    ask(url + "/feedback", json.dumps({"prediction_id": answer["prediction_id"], "label": answer["class"]}).encode())
    ask(url + "/nothing")
    form = b"".join(b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + one + b"\r\n" for one in (picture, b"no picture"))
    batch = json.loads(ask(url + "/batch/predict", form + b"--XX--\r\n", {"Content-Type": "multipart/form-data; boundary=XX"}))
    check("a batch of one picture and of what is none", (batch.get("done"), batch.get("failed")) == (1, 1), batch)
    text = ask(url + "/metrics").decode()
    server.terminate()
    check("the server ends with 0", server.wait() == 0)
    lines = open(log).read().splitlines()
    check("a line of the log for each request", len(lines) == 7 and all(json.loads(line)["request_id"] for line in lines), "\n".join(lines))

types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
exists = set()
for name, kind in types.items():
    exists |= {name + end for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
# Labels are those of the table: not every one has appeared by now.
labels = {}
for name, names in re.findall(r'METRIC\(\w+, \w+, "(\w+)", "([^"]*)"', open("serve/metrics.def").read().replace("\n", " ")):
    labels[name] = {n.split("=")[0] for n in names.split(",") if n}
check("the table and the scrape have the same families", set(labels) == set(types), set(labels) ^ set(types))
for name, found in re.findall(r"^(\w+)\{(.*)\} \S+$", text, re.M):
    base = re.sub("_(bucket|sum|count)$", "", name) if name not in types else name
    used = set(re.findall(r'(\w+)="', found)) - {"le"}
    if used != labels[base]:
        check("labels of " + name, False, found)

# ---- what deploy/ names -------------------------------------------------------------------------------------------------------------------

OWN = {"up"}  # Prometheus' own
EVERYWHERE = {"instance", "job", "le"}


def check_expression(where, expression):
    """Every selector of a metric is one that exists, with labels that it has."""
    expression = expression.replace("$instance", "x")
    names = re.findall(r"\b((?:rudd|prediction|predictions|process|up)\w*)\b(?:\{([^}]*)\})?", expression)
    check(where + " names a metric", names, expression)
    for name, selector in names:
        base = re.sub("_(bucket|sum|count)$", "", name) if name not in types else name
        used = set(re.findall(r'(\w+)\s*[=!]~?\s*"', selector))
        if name not in exists | OWN:
            check(where, False, name + " does not exist")
        elif name not in OWN and used - labels[base] - EVERYWHERE:
            check(where, False, f"{name} has no label {used - labels[base]}")
    by = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", expression))))
    known = set().union(EVERYWHERE, *(labels.get(re.sub("_(bucket|sum|count)$", "", n) if n not in types else n, set()) for n, _ in names))
    check(where + ": grouped by what is there", by <= known, by - known)


dashboard = json.load(open(os.path.join(DEPLOY, "grafana-rudd.json")))
targets = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]
check("the dashboard has panels", len(targets) > 20)
for title, expression in targets:
    check_expression("panel " + title, expression)
check("panels have ids of their own", len({p["id"] for p in dashboard["panels"]}) == len(dashboard["panels"]))
rules = open(os.path.join(DEPLOY, "rudd-alerts.yml")).read()
alerts = re.findall(r"- alert: (\w+)\n\s+expr: (?:>\n)?(.*?)\n\s+(?:for|labels):", rules, re.S)
check("every alert is read", len(alerts) == rules.count("- alert:") > 5)
for name, expression in alerts:
    check_expression("alert " + name, expression)
    # Prometheus sees no increase in a series that begins with 1.
    for counter, selector in re.findall(r"\bincrease\((\w+)(\{[^}]*\})?", expression):
        check(f"alert {name}: {counter}{selector} is there before it counts", "\n" + counter + (selector or ("{" if labels[counter] else " ")) in fresh)
for series in re.findall(r"series: '([^']*)'", open(os.path.join(DEPLOY, "rudd-alerts-test.yml")).read()):
    check_expression("alert test " + series, series)

# ---- what others say ----------------------------------------------------------------------------------------------------------------------

tool("promtool check metrics", "promtool", "check", "metrics", text=text)
tool("promtool check config", "promtool", "check", "config", os.path.join(DEPLOY, "prometheus.yml"))
tool("promtool check rules", "promtool", "check", "rules", os.path.join(DEPLOY, "rudd-alerts.yml"))
tool("promtool test rules", "promtool", "test", "rules", os.path.join(DEPLOY, "rudd-alerts-test.yml"))
with tempfile.TemporaryDirectory() as folder:
    unit = os.path.join(folder, "rudd-serve.service")
    with open(unit, "w") as f:  # the program need not be installed for its unit to be read
        f.write(open(os.path.join(DEPLOY, "rudd-serve.service")).read().replace("/usr/local/bin/rudd-serve", os.path.abspath(os.path.join(BUILD, "rudd-serve"))))
    done = tool("systemd-analyze verify", "systemd-analyze", "verify", "--man=no", unit)
    if done:
        check("systemd-analyze has no word against it", not done.stderr.strip(), done.stderr)
options = subprocess.run([os.path.join(BUILD, "rudd-serve"), "--help"], capture_output=True, text=True).stdout
for name in re.findall(r"^([a-z-]+) =", open(os.path.join(DEPLOY, "rudd-serve.conf")).read(), re.M):
    check("option " + name, "--" + name in options)

sys.exit(finish())
