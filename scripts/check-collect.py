#!/usr/bin/env python3
"""Runs `tbrm collect` against a real server process, `transformers serve`, and over TLS.

    pip install 'transformers[serving]' torch
    cargo build --release -p tbrm
    scripts/check-collect.py

Makes a tiny model, serves it, and collects from it: text and messages, a kill in the middle and a resume, an https
server with a certificate of its own. The records are checked and trained on. Exit code 0 where all of it is as it should
be. Not part of `make test`: torch is a large download. Needs the command `openssl`.
"""

import argparse
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tbrm", default="target/release/tbrm", help="the binary (default target/release/tbrm)")
    parser.add_argument("--transformers", default=shutil.which("transformers"), help="the command `transformers`")
    args = parser.parse_args()
    tbrm = os.path.abspath(args.tbrm)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run(tbrm, "init --preset nano --tokenizer bytes --max-positions 128 --out model")
        # Without the first, `transformers serve` takes the likeliest token at every temperature.
        pathlib.Path("model/generation_config.json").write_text('{"do_sample": true, "eos_token_id": 256}')
        pathlib.Path("model/chat_template.jinja").write_text(TEMPLATE)
        run(tbrm, "task sort-3 --count 20 --out prompts.jsonl")
        with serving(args.transformers) as url:
            check_text(tbrm, url)
            check_messages(tbrm, url)
            check_resume(tbrm, url)
            check_refusal(tbrm, url)
        check_tls(tbrm)
    print("all as it should be")


def check_text(tbrm, url):
    common = f"collect --url {url} --model model --prompts prompts.jsonl --rollouts 2 --max-new-tokens 12"
    began = time.monotonic()
    summary = json.loads(run(tbrm, f"{common} --reward regex:[a-z] --logps model --out text.jsonl --json"))
    print(f"text: {summary['records']} records in {time.monotonic() - began:.1f} s; {summary}")
    records = lines("text.jsonl")
    assert len(records) == 40 == summary["records"] and summary["with_logps"] == 0
    assert len({r["completion"] for r in records}) > 30, "the server does not sample"
    assert summary["truncated"] == sum(r.get("truncated", False) for r in records) > 0
    assert {r["group"] for r in records} == {f"prompts.jsonl:{i}" for i in range(1, 21)}
    report = json.loads(run(tbrm, "logs check text.jsonl --model model --json"))
    assert report["records"] == 40 and report["rejected"] == 0, report
    run(tbrm, "train --model model --data text.jsonl --out run --steps 2 --batch 8 --quiet")


def check_messages(tbrm, url):
    common = f"collect --url {url} --model model --prompts prompts.jsonl --endpoint chat --max-new-tokens 8"
    run(tbrm, f"{common} --out chat.jsonl")
    records = lines("chat.jsonl")
    assert len(records) == 20 and all(r["completion"][0]["role"] == "assistant" for r in records)
    report = json.loads(run(tbrm, "logs check chat.jsonl --model model --json"))
    print(f"messages: {report['records']} records, {report['rejected']} rejected")
    assert report["conversations"] == 20 and report["rejected"] == 0, report


def check_resume(tbrm, url):
    command = f"collect --url {url} --model model --prompts prompts.jsonl --rollouts 4 --max-new-tokens 24 --out killed.jsonl"
    process = subprocess.Popen([tbrm, *command.split()], stderr=subprocess.DEVNULL)
    wait(lambda: os.path.exists("killed.jsonl") and len(lines("killed.jsonl")) >= 10)
    process.kill()
    process.wait()
    before = lines("killed.jsonl")
    with open("killed.jsonl", "a", encoding="utf-8") as file:
        file.write('{"id": 3, "pro')
    summary = json.loads(run(tbrm, f"{command} --resume --json"))
    print(f"killed with {len(before)} records, {summary['asked']} asked for by the resume, {summary['records']} in all")
    after = lines("killed.jsonl")
    assert 10 <= len(before) < 80 and after[: len(before)] == before and len(after) == 80
    assert len({(r["prompt_line"], r["rollout"]) for r in after}) == 80 and summary["asked"] == 80 - len(before)


def check_refusal(tbrm, url):
    command = f"collect --url {url} --model model --prompts prompts.jsonl --out no.jsonl"
    done = subprocess.run([tbrm, *command.split(), "--request", '{"frobnicate": 1}'], capture_output=True, text=True)
    print("refused:", *done.stderr.splitlines()[-2:], sep="\n  ")
    assert done.returncode == 1 and "frobnicate" in done.stderr and not os.path.exists("no.jsonl")


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"choices": [{"text": "12", "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def check_tls(tbrm):
    # A certificate of an authority of our own, as within a company.
    pathlib.Path("leaf.ext").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    for command in [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out leaf.csr",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile leaf.ext -out cert.pem",
    ]:
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://localhost:{server.server_address[1]}"
    command = [tbrm, *f"collect --url {url} --model m --prompts prompts.jsonl --retries 0".split()]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT")}
    done = subprocess.run([*command, "--out", "no.jsonl"], capture_output=True, text=True, env=bare)
    print("unknown certificate:", *done.stderr.splitlines()[-2:], sep="\n  ")
    assert done.returncode == 1 and "certificate" in done.stderr and not os.path.exists("no.jsonl")
    env = {**bare, "SSL_CERT_FILE": os.path.abspath("ca.pem")}
    done = subprocess.run([*command, "--out", "tls.jsonl"], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert len(lines("tls.jsonl")) == 20
    print("known certificate: 20 records over https")


class serving:
    """`transformers serve` on a free port, for as long as the block lasts."""

    def __init__(self, command):
        self.command = command

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [self.command, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
        self.log = open("server.log", "w+", encoding="utf-8")
        env = {**os.environ, "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env=env)
        url = f"http://127.0.0.1:{port}"
        wait(lambda: self.process.poll() is not None or answers(f"{url}/health"))
        if self.process.poll() is not None:
            self.log.seek(0)
            sys.exit(f"the server ended:\n{self.log.read()[-2000:]}")
        return url

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


def wait(come):
    for _ in range(3000):
        if come():
            return
        time.sleep(0.1)
    sys.exit("it never came")


def run(tbrm, line):
    done = subprocess.run([tbrm, *line.split()], capture_output=True, text=True)
    assert done.returncode == 0, f"tbrm {line}: {done.stderr}"
    return done.stdout


def lines(name):
    """The whole lines of a JSONL file."""
    return [json.loads(line) for line in pathlib.Path(name).read_text(encoding="utf-8").split("\n")[:-1] if line]


if __name__ == "__main__":
    main()
