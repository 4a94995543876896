"""The least worker for pond, written from its protocol page alone: one job at a time, on Linux. See README.md."""
import base64, collections, hashlib, hmac, http.client, itertools, json, math, os, pathlib, random, re, secrets
import select, signal, subprocess, sys, tempfile, threading, time
from urllib.parse import quote, urlsplit
JOB_FIELDS = set("command env input timeout_ms idempotent labels priority ttl_ms retry on_lost hold_ms after count"
                 " max_parallel limits requires".split())
def to_base64url(data): return base64.urlsafe_b64encode(data).decode().rstrip("=")
def from_base64url(text): return base64.urlsafe_b64decode(text + "==")
def openssl(*words, key=""): return subprocess.check_output(["openssl", *words], input=key.encode())
def read_result(file):
    text = file.read_text("utf-8", "replace") if file.is_file() and file.stat().st_size <= 2**20 else ""
    try: json.loads(text, parse_constant=int)  # int() refuses NaN and Infinity
    except (ValueError, RecursionError): return {"message": "no valid result"} if file.exists() else {}
    return {"result": text}
class Refused(Exception): """Pond refused a call, and would refuse it again. Arguments: code, error."""

def post(pond, path, body, headers={}):
    """Repeats the call until it has an answer. `body` is raw bytes, or a function that makes the JSON of each try."""
    url, is_raw = urlsplit(pond["url"]), isinstance(body, bytes)
    if url.scheme != "https" and url.hostname not in ("localhost", "127.0.0.1", "::1"): sys.exit("https:// only")
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    headers = {**headers, "Content-Type": "application/octet-stream" if is_raw else "application/json"}
    if "token" in pond: headers["Authorization"] = f"Bearer {pond['token']}"
    for tries in itertools.count():
        retry_after, connection = 0, connect(url.hostname, url.port, timeout=65 if path == "/orch/poll" else 30)
        try:
            connection.request("POST", url.path.rstrip("/") + path, body if is_raw else json.dumps(body()), headers)
            reply = connection.getresponse()
            retry_after, answer = int(reply.getheader("Retry-After", 0)), json.loads(reply.read())
            if reply.status == 200 and isinstance(answer, dict): return answer
            code, is_busy = answer["error"]["code"], reply.status == 429 or reply.status >= 500
            if not is_busy and code not in ("body_timeout", "session_conflict"): raise Refused(code, answer["error"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError): pass  # no reply, or not pond's
        time.sleep(random.uniform(0, min(60, 2 ** min(tries, 6))) + retry_after)

class Job(threading.Thread):  # one claim, from its intent to its final word
    def __init__(self, pond, intent):
        super().__init__()
        self.pond, self.intent, self.claim_id = pond, intent, intent["claim_id"]
        self.path, self.headers = f"/orch/jobs/{quote(intent['job_id'])}", {"X-Claim-Token": intent["claim_token"]}
        self.state, self.process, self.stop_cause, self.start_lock = "accepted", None, None, threading.Lock()
        self.streams, self.digests, self.order = {}, collections.defaultdict(hashlib.sha256), itertools.count()
        self.start()
    def say(self, state, **word):
        post(self.pond, f"{self.path}/state", lambda: {"claim_id": self.claim_id, "state": state, **word}, self.headers)
    def kill(self, number=signal.SIGKILL):
        try: self.state == "running" and os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError): pass  # nothing is left of the group
    def stop(self, cause):  # "drop" is a SIGKILL, and nobody wants to hear of the claim any more
        with self.start_lock:
            if cause != "drop" and (self.stop_cause or self.process and self.process.poll() is not None): return
            self.stop_cause = cause
            self.kill(signal.SIGKILL if cause == "drop" else signal.SIGTERM)
            threading.Timer(10, self.kill).start()
    def run(self):
        spec = json.loads(base64.b64decode(self.intent["job"]))
        strange = set(spec) - JOB_FIELDS | {"sandbox"} & set(spec.get("requires", {}))
        strange |= {"cred_request", "source_bundle"} & set(self.intent)
        try:
            if strange: return self.say("declined", message=f"not served here: {', '.join(strange)}"[:4096])
            self.say("running")  # the claim is confirmed from here on; nothing may start before
            with tempfile.TemporaryDirectory(prefix="pond-", ignore_cleanup_errors=True) as folder:
                word = self.execute(spec, pathlib.Path(folder))
            if self.stop_cause != "drop": self.say("final", **word)
        except Refused as refusal: print(self.claim_id, refusal, file=sys.stderr)
        finally: self.kill()
    def execute(self, spec, folder):  # answers what the final word says
        for name in ("work", "home", "tmp"): (folder / name).mkdir()
        (folder / "stdin").write_bytes(spec.get("input", "").encode())
        env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        env |= {"HOME": f"{folder}/home", "TMPDIR": f"{folder}/tmp", **spec.get("env", {})}
        env |= {"POND_RESULT": f"{folder}/result", "POND_EVENTS": f"{folder}/events"}
        told = {"job_id", "attempt", "array_index"} & set(self.intent)
        env |= {f"POND_{name.upper()}": str(self.intent[name]) for name in told}
        with self.start_lock, open(folder / "stdin") as stdin:
            if self.stop_cause: return {"cause": self.stop_cause}
            try: self.process = subprocess.Popen(spec["command"], cwd=folder / "work", env=env, start_new_session=True,
                                                 stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            except (OSError, ValueError) as why: return {"cause": "setup_failed", "rc": 125, "message": str(why)[:4096]}
            self.state = "running"
        timeout = threading.Timer(spec.get("timeout_ms", 0) / 1000, self.stop, ["timeout"])
        if "timeout_ms" in spec: timeout.start()
        try: self.send_output()
        finally: timeout.cancel()
        code = self.process.returncode
        cause, rc = ("exit", code) if code >= 0 else ("signal", 128 - code)
        return {"cause": self.stop_cause or cause, "rc": rc, "streams": self.streams, **read_result(folder / "result")}
    def send_output(self):  # until the process and its output ended, or 5 s after the process
        pipes, deadline = {self.process.stdout: "stdout", self.process.stderr: "stderr"}, math.inf
        while self.state == "running" or (pipes and time.monotonic() < deadline):
            for pipe in select.select(list(pipes), [], [], 0.05)[0]:
                data = os.read(pipe.fileno(), 65536)
                self.send(pipes[pipe], data) if data else pipes.pop(pipe)
            if self.state == "running" and self.process.poll() is not None:
                self.kill()  # what the process left behind
                self.state, deadline = "ended", time.monotonic() + 5  # time for a last read of all that a pipe holds
    def send(self, name, data):  # returns when pond has it; while pond is away, what follows waits in the pipe
        stream = self.streams.setdefault(name, {"bytes": 0, "produced": 0})
        rest = data[:self.intent["limits"]["stream_bytes"] - stream["bytes"]]
        self.digests[name].update(rest)
        while rest and self.stop_cause != "drop":
            query = f"offset={stream['bytes']}&at={int(time.time() * 1000)}&order={next(self.order)}"
            path = f"{self.path}/chunk?claim={quote(self.claim_id)}&stream={name}&{query}"
            committed = post(self.pond, path, rest, self.headers)["committed"]
            rest, stream["bytes"] = rest[committed - stream["bytes"]:], committed
        stream |= {"produced": stream["produced"] + len(data), "sha256": self.digests[name].hexdigest()}
        stream["end"] = "complete" if stream["produced"] == stream["bytes"] else "capped"

def pair(printed, path):
    url, code_id, secret, pond_hash = re.fullmatch(r"(.*)#(.*)\.(.*)\.(.*)", printed).groups()
    kinds = {"binding_key": "ed25519", "sealing_key": "x25519", "signing_key": "ed25519"}
    state = {name: openssl("genpkey", "-algorithm", kind).decode() for name, kind in kinds.items()} | {"url": url}
    os.umask(0o077)
    pathlib.Path(path).write_text(json.dumps(state))  # before the call: pond pins these keys
    public = {key: to_base64url(openssl("pkey", "-pubout", "-outform", "DER", key=state[key])[-32:]) for key in kinds}
    body = {"code": f"cod_{code_id}", "name": "python-worker", "protocol": 1, "binding_key": public.pop("binding_key"),
            "worker": {**public, "labels": {}, "resources": {"slots": 1}}}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    body["mac"] = hmac.digest(from_base64url(secret), canonical, "sha256").hex()
    reply = post(state, "/orch/pair", lambda: body)
    seen_hash = to_base64url(hashlib.sha256(from_base64url(reply["pond_key"])).digest()[:16])
    if seen_hash != pond_hash: sys.exit("this is not the pond that printed the code")
    pathlib.Path(path).write_text(json.dumps({**state, **reply}))

def run(path, _option="--jobs", most_jobs="inf"):
    pond, session, seq = json.loads(pathlib.Path(path).read_text()), secrets.token_hex(8), itertools.count(1)
    claims, job, leaving = set(), None, threading.Event()
    def make_poll():  # short while there is a job, as only the next poll can tell that it ended
        return dict(protocol=1, session=session, seq=next(seq), claim_key=f"{session}-{len(claims)}",
            workers=[{"worker_id": pond["worker_id"], "free": {"slots": 0 if job or leaving.is_set() else 1}}],
            have=[{"claim_id": job.claim_id, "state": job.state}] if job else [], wait_ms=2000 if job else 50000)
    signal.signal(signal.SIGTERM, lambda *_: leaving.set() if job else sys.exit())
    print("polling", flush=True)
    try:
        while job or not leaving.is_set():
            sent_at, reply = time.monotonic(), post(pond, "/orch/poll", make_poll)
            for directive in reply["directives"]:
                kind, is_mine = directive["type"], job and directive.get("claim_id") == job.claim_id
                if kind in ("cancel", "drop") and is_mine: job.stop("cancelled" if kind == "cancel" else "drop")
                if kind == "drain": leaving.set()
                if kind == "slow_down": time.sleep(directive["wait_ms"] / 1000)
            for intent in reply["intents"]:
                if intent["claim_id"] not in claims: job, claims = Job(pond, intent), claims | {intent["claim_id"]}
            if len(claims) >= float(most_jobs): leaving.set()
            if not reply["intents"]: time.sleep(max(0, sent_at + 1 - time.monotonic()))
            if job and (job.stop_cause == "drop" or not job.is_alive()): job = None
    finally:
        if job: job.stop("drop")  # the binding was revoked

if __name__ == "__main__": {"pair": pair, "run": run}[sys.argv[1]](*sys.argv[2:])
