"""A least worker for pond: worker.py pair URL#CODE state.json, then worker.py run state.json"""
import base64, concurrent.futures, email.utils, hashlib, hmac, itertools, json, math, os, pathlib, random, re, secrets
import select, signal, subprocess, sys, tempfile, threading, time, urllib.parse, urllib.request
from cryptography.hazmat.primitives import serialization
SLOTS, MIB, STOP, DRAINING = 2, 1048576, threading.Event(), threading.Event()
MINE = {"command", "env", "input", "timeout_ms", "idempotent", "labels", "priority", "ttl_ms", "retry", "on_lost",
        "hold_ms", "after", "count", "max_parallel", "limits", "requires"}
FOREIGN, PLACE = {"sandbox", "cred_request", "source_bundle"}, {"job_id", "attempt", "array_index"}
OPENER = urllib.request.OpenerDirector()  # with these two alone it follows no redirect and returns every status
OPENER.add_handler(urllib.request.HTTPHandler())
OPENER.add_handler(urllib.request.HTTPSHandler())
ME = {"skew": 0}  # who signs: url, pond_id, key_id, key, and by how many seconds pond's clock is ahead

def b64(data):
    return base64.b64encode(data).decode()

def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

def enter(url, pond_id, path):
    key = serialization.load_pem_private_key(open(f"{path}.binding_key", "rb").read(), None)
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    ME.update(url=url, pond_id=pond_id, key=key, key_id=b64url(raw))

def sign(url, data, headers, created):
    """The headers that sign a POST by RFC 9421."""
    path, _, query = url.removeprefix(ME["url"]).partition("?")
    own = {"Pond-Id": ME["pond_id"], "Content-Digest": f"sha-256=:{b64(hashlib.sha256(data).digest())}:"}
    parts = {"@method": "POST", "@path": path, "@query": "?" + query}
    parts |= {name.lower(): value for name, value in (own | headers).items() if name != "Authorization"}
    names, nonce = " ".join(f'"{name}"' for name in parts), b64url(secrets.token_bytes(16))
    params = f'({names});created={created};nonce="{nonce}";keyid="{ME["key_id"]}";alg="ed25519";tag="pond"'
    base = "".join(f'"{name}": {value}\n' for name, value in parts.items()) + f'"@signature-params": {params}'
    return own | {"Signature-Input": f"pond={params}", "Signature": f"pond=:{b64(ME['key'].sign(base.encode()))}:"}

def call(url, body, headers, dead=STOP, timeout=30):
    """Repeat a call until pond has judged it. If it is refused or the claim is dead, the thread ends here."""
    for n in itertools.count():
        if dead.is_set() or STOP.is_set():
            sys.exit(1)
        kind = {"Content-Type": "application/octet-stream" if isinstance(body, bytes) else "application/json"}
        data = body if isinstance(body, bytes) else json.dumps(body, default=next).encode()  # next: for the poll's seq
        created = now = int(time.time() + ME["skew"])
        request = urllib.request.Request(url, data, headers | kind | sign(url, data, headers, created))
        try:
            with OPENER.open(request, timeout=timeout) as response:
                status, reply, wait = response.status, json.load(response), int(response.getheader("Retry-After", 0))
            code = "ok" if status == 200 else reply["error"]["code"]
            now = email.utils.parsedate_to_datetime(response.getheader("Date")).timestamp()
            ME["skew"] = now - time.time()
        except Exception:  # no reply, or not of pond's form
            status, code, wait = 503, "later", 0
        if code in ("ok", "chunk_gap", "stream_full"):
            return reply if code == "ok" else reply["error"]["details"]  # both hold `committed`
        if code == "unauthenticated" and abs(now - created) > 60:  # perhaps only late: sign anew with pond's time
            continue
        if status != 429 and status < 500 and code not in ("body_timeout", "session_conflict"):
            print(url, reply["error"], file=sys.stderr)
            dead.set()
        dead.wait(wait + random.uniform(0, min(60, 2 ** n)))

class Claim(threading.Thread):
    def __init__(self, state, intent):
        super().__init__()
        self.intent, self.row = intent, {"claim_id": intent["claim_id"], "state": "accepted"}
        self.url = f"{state['url']}/orch/jobs/{urllib.parse.quote(intent['job_id'])}/"
        self.headers, self.order = state["headers"] | {"X-Claim-Token": intent["claim_token"]}, itertools.count()
        self.cancel, self.dead, self.until = threading.Event(), threading.Event(), math.inf
        self.start()
    def say(self, **word):
        call(self.url + "state", {"claim_id": self.row["claim_id"], **word}, self.headers, self.dead)
    def run(self):
        job = json.loads(base64.b64decode(self.intent["job"]))
        strange = job.keys() - MINE | (job.get("requires", {}).keys() | self.intent.keys()) & FOREIGN
        if strange:
            return self.say(state="declined", message=f"not done here: {strange}"[:4096])
        self.say(state="running")
        if self.cancel.is_set():
            return self.say(state="final", cause="cancelled")
        try:
            folder = tempfile.TemporaryDirectory(prefix="pond-", ignore_cleanup_errors=True)
            home = pathlib.Path(folder.name)
            (home / "work").mkdir()
            (home / "input").write_text(job.get("input", ""), "utf-8")
            env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
            env |= {"HOME": str(home), "TMPDIR": str(home)} | job.get("env", {})
            env |= {"POND_" + name.upper(): str(self.intent[name]) for name in self.intent.keys() & PLACE}
            env |= {"POND_RESULT": f"{home}/result", "POND_EVENTS": f"{home}/events"}
            process = subprocess.Popen(job["command"], stdin=open(home / "input"), stdout=subprocess.PIPE, env=env,
                                       stderr=subprocess.PIPE, cwd=home / "work", start_new_session=True)
        except (OSError, ValueError) as fault:
            return self.say(state="final", cause="setup_failed", rc=125, message=str(fault)[:4096])
        self.row["state"], cause, kill_at = "running", None, math.inf
        deadline = time.monotonic() + job.get("timeout_ms", math.inf) / 1000
        with concurrent.futures.ThreadPoolExecutor() as pool:
            pumps = {name: pool.submit(self.pump, name, getattr(process, name)) for name in ("stdout", "stderr")}
            while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                now = time.monotonic()
                if not cause and (self.cancel.is_set() or now > deadline):
                    cause, kill_at = "cancelled" if self.cancel.is_set() else "timeout", now + 10
                    os.killpg(process.pid, signal.SIGTERM)
                if STOP.is_set() or self.dead.is_set() or now > kill_at:
                    os.killpg(process.pid, signal.SIGKILL)
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGKILL)  # what is left of the group
            self.row["state"], self.until, rc = "ended", time.monotonic() + 5, process.wait()
        end = {"cause": cause or ("exit" if rc >= 0 else "signal"), "rc": rc if rc >= 0 else 128 - rc}
        if (home / "result").is_file():
            text = (home / "result").read_bytes() if (home / "result").stat().st_size <= MIB else b"too long"
            try:
                json.loads(text.decode(), parse_constant=int)  # int refuses NaN and Infinity
                end["result"] = text.decode()
            except (ValueError, RecursionError):
                end["message"] = "the result is no JSON within 1 MiB and was left out"
        folder.cleanup()
        self.say(state="final", streams={name: pump.result() for name, pump in pumps.items()}, **end)
    def pump(self, name, pipe):
        """Send a stream, each piece until it is committed; gives its entry in the final word."""
        data, late, sent, produced, digest = None, False, 0, 0, hashlib.sha256()
        limit, claim_id = self.intent["limits"]["stream_bytes"], urllib.parse.quote(self.row["claim_id"])
        while data != b"" and not late:
            late = time.monotonic() > self.until
            data = os.read(pipe.fileno(), 262144) if select.select([pipe], [], [], 0.5)[0] else None
            produced, at, order = produced + len(data or b""), time.time_ns() // 1000000, next(self.order)
            rest = (data or b"")[:limit - sent]
            while rest and sent < limit:
                url = f"{self.url}chunk?claim={claim_id}&stream={name}&offset={sent}&at={at}&order={order}"
                committed = call(url, rest, self.headers, self.dead)["committed"]
                limit = limit if committed > sent else committed  # it is full, or those bytes are gone here
                digest.update(rest[:committed - sent])
                rest, sent = rest[committed - sent:], committed
        end = "complete" if sent == produced else "capped"
        return {"bytes": sent, "sha256": digest.hexdigest(), "produced": produced, "end": end}

def run(path):
    state, session, seq, heard = json.loads(path.read_text()), secrets.token_hex(8), itertools.count(1), {}
    turn, claims, left = 0, {}, False
    enter(state["url"], state["pond_id"], path)
    signal.signal(signal.SIGTERM, lambda *_: DRAINING.set() if claims else sys.exit())
    while not left:
        began, have, draining = time.monotonic(), [claim.row for claim in claims.values()], DRAINING.is_set()
        left, free = draining and not have, {"slots": 0 if draining else SLOTS - len(have)}
        body = {"protocol": 3, "session": session, "seq": seq, **heard, "claim_key": f"{session}-{turn + left}",
                "wait_ms": 0 if left else 2000 if have else 50000, "have": have,
                "workers": [{"worker_id": state["worker_id"], "free": free}]}
        reply = call(state["url"] + "/orch/poll", body, state["headers"], STOP, body["wait_ms"] / 1000 + 15)
        pause, heard = 0 if reply["intents"] else began + 1 - time.monotonic(), {"heard": reply["receipt"]}
        for directive in reply["directives"]:
            claim = claims.get(directive.get("claim_id"))
            flags = {"drain": DRAINING} | ({"cancel": claim.cancel, "drop": claim.dead} if claim else {})
            if directive["type"] in flags:
                flags[directive["type"]].set()
            elif directive["type"] == "slow_down":
                pause = directive["wait_ms"] / 1000
        for intent in reply["intents"]:
            claims[intent["claim_id"]] = claims.get(intent["claim_id"]) or Claim(state, intent)
        turn += bool(reply["intents"])
        time.sleep(max(0, pause))
        claims = {name: claim for name, claim in claims.items() if claim.is_alive()}

def pair(printed, path):
    url, code_id, secret, pin = re.fullmatch(r"(.*)#(.*)\.(.*)\.(.*)", printed).groups()
    if not url.startswith("https://") and urllib.parse.urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"):
        sys.exit("http:// is for loopback only")
    keys = {}
    os.umask(0o077)
    for name, kind in ("binding_key", "ed25519"), ("sealing_key", "x25519"), ("signing_key", "ed25519"):
        file = f"{path}.{name}"
        if not os.path.exists(file):
            subprocess.run(["openssl", "genpkey", "-algorithm", kind, "-out", file], check=True)
        public = subprocess.check_output(["openssl", "pkey", "-in", file, "-pubout", "-outform", "DER"])[-32:]
        keys[name] = b64url(public)
    enter(url, pin, path)
    body = {"code": "cod_" + code_id, "name": "stranger", "protocol": 3, "binding_key": keys.pop("binding_key"),
            "worker": {**keys, "labels": {}, "resources": {"slots": SLOTS}}}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    body["mac"] = hmac.new(base64.urlsafe_b64decode(secret + "=="), canonical, "sha256").hexdigest()
    reply = call(url + "/orch/pair", body, {})
    digest = hashlib.sha256(base64.urlsafe_b64decode(reply["pond_key"] + "=")).digest()
    if digest[:16] != base64.urlsafe_b64decode(pin + "=="):
        sys.exit("this is not the pond that printed the code")
    headers = {"Authorization": "Bearer " + reply["token"]}
    path.write_text(json.dumps(reply | {"url": url, "pond_id": pin, "headers": headers}))

{"pair": pair, "run": run}[sys.argv[1]](*sys.argv[2:-1], pathlib.Path(sys.argv[-1]))
