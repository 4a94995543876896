#!/usr/bin/python3
"""A second reader of what is sealed and signed, from src/seal/README.md alone: Python and libsodium, none of our code.

Usage: reader.py CASES.json …   Each file holds {"cases": [...]}: what is given, and what it must open to, or `refused`.
Prints how many opened and were refused as they must be; names every other one and exits 1. Needs PyNaCl (python3-nacl).
"""

import base64
import hashlib
import json
import re
import sys

import nacl.bindings as sodium
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

FRAME, TAG, SECRETSTREAM_HEADER, STRIDE, HEADER_MOST = 65536, 17, 24, 1048576, 65536
HEADER_BIT, TRAILER_BIT, END_BIT = 1 << 31, 1 << 30, 1 << 29
TYPES = {
    "job": "application/vnd.pond.job+json",
    "sealed": "application/vnd.pond.sealed+json",
    "grant": "application/vnd.pond.grant+json",
    "rotation": "application/vnd.pond.rotation+json",
    "statement": "application/vnd.in-toto+json",
}
CONTEXTS = {
    "credential": "kind project name signer?",
    "bundle": "kind project signer?",
    "private": "kind job claim part",
    "segment": "kind job claim stream segment offset at",
}

class Refused(Exception):
    """Not what this page allows; why is for whoever debugs."""

def need(condition, why):
    if not condition:
        raise Refused(why)

# Ground

def sha256(data):
    return hashlib.sha256(data).hexdigest()

def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

def parse(data):
    """Canonical JSON and nothing else."""
    value = json.loads(data)
    need(canonical(value) == bytes(data), "not canonical")
    return value

def fields(value, names):
    """An object with just these fields; a question mark: it may be absent."""
    need(type(value) is dict, "no object")
    names = names.split()
    need(all(name.endswith("?") or name in value for name in names), "a field is missing")
    need(set(value) <= {name.rstrip("?") for name in names}, "a field too many")
    return value

def whole(value):
    need(type(value) is int and 0 <= value < 1 << 53, "no whole number")
    return value

def text_of(value, pattern):
    need(type(value) is str and re.fullmatch(pattern, value, re.ASCII), "no such text")
    return value

def from_base64(text):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "another text for these bytes")
    return data

def to_base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

def from_base64url(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(to_base64url(data) == text, "another text for these bytes")
    return data

def key(text):
    data = from_base64url(text)
    need(len(data) == 32, "no key")
    return data

def fingerprint(*keys):
    digits = sha256(b"".join(map(key, keys)))[:32]
    return "-".join(digits[at : at + 4] for at in range(0, 32, 4))

def check_context(value):
    need(type(value) is dict and value.get("kind") in CONTEXTS, "no place")
    return fields(value, CONTEXTS[value["kind"]])

# Boxes, frames, envelopes

def check_boxes(boxes):
    need(type(boxes) is list and 1 <= len(boxes) <= 64, "no boxes")
    for box in boxes:
        text_of(fields(box, "to box")["to"], "[0-9a-f]{4}(-[0-9a-f]{4}){7}")
        from_base64url(box["box"])
    need(len({box["to"] for box in boxes}) == len(boxes), "two boxes for one key")

def open_box(sealed, pairs, place, bound=None):
    """The content key."""
    check_boxes(sealed["boxes"])
    need(check_context(sealed["context"]) == place, "another place outside")
    for pair in pairs:
        for box in sealed["boxes"]:
            if box["to"] != fingerprint(pair["publicKey"]):
                continue
            ours, secret = key(pair["publicKey"]), key(pair["privateKey"])
            opened = sodium.crypto_box_seal_open(from_base64url(box["box"]), ours, secret)
            inside = fields(parse(opened), "key context bound?")
            need(check_context(inside["context"]) == place, "another place inside")
            need(inside.get("bound") == bound, "another claim")
            return key(inside["key"])
    raise Refused("not for these keys")

class Frames:
    """One secretstream, frame by frame."""

    def __init__(self, content_key, header, place):
        self.state = sodium.crypto_secretstream_xchacha20poly1305_state()
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(self.state, header, content_key)
        self.associated = canonical({"context": place, "format": 1})

    def open(self, sealed):
        need(TAG <= len(sealed) <= TAG + FRAME, "no frame")
        data, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(self.state, bytes(sealed), self.associated)
        need(tag in (0, 3), "neither message nor final")
        return data, tag == 3

def open_frames(content_key, place, data):
    frames, at, parts, final = Frames(content_key, data[:SECRETSTREAM_HEADER], place), SECRETSTREAM_HEADER, [], False
    while at < len(data):
        need(not final, "bytes behind the last frame")
        length = int.from_bytes(data[at : at + 4], "big")
        need(at + 4 + length <= len(data), "cut off")
        part, final = frames.open(data[at + 4 : at + 4 + length])
        need(len(part) == FRAME or (final and (part or not parts)), "frames of another size")
        parts.append(part)
        at += 4 + length
    need(final, "no last frame")
    return b"".join(parts)

def open_sealed(sealed, frames, pairs, place, bound=None):
    inline = "frames" in fields(sealed, "format context boxes frames? digest? size?")
    fields(sealed, "format context boxes frames" if inline else "format context boxes digest size")
    need(whole(sealed["format"]) == 1, "another format")
    content_key = open_box(sealed, pairs, place, bound)
    if not inline:
        need(sealed["digest"] == sha256(frames) and whole(sealed["size"]) == len(frames), "other frames")
    return open_frames(content_key, place, from_base64(sealed["frames"]) if inline else frames)

# Signatures

def verify(public_key, message, signature):
    VerifyKey(key(public_key)).verify(message, signature)

def open_signed(signed, kind, public_key):
    fields(signed, "payloadType payload signatures")
    need(signed["payloadType"] == TYPES[kind], "another type")
    need(type(signed["signatures"]) is list and 1 <= len(signed["signatures"]) <= 8, "no signatures")
    payload, name = from_base64(signed["payload"]), TYPES[kind].encode()
    found = {key(fields(one, "keyid sig")["keyid"]): from_base64(one["sig"]) for one in signed["signatures"]}
    need(len(found) == len(signed["signatures"]), "two signatures by one key")
    message = b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)
    verify(public_key, message, found[key(public_key)])
    return payload

def read_signed(signed):
    """A sealed object and the consumer who signed it."""
    signer = signed["signatures"][0]["keyid"]
    sealed = parse(open_signed(signed, "sealed", signer))
    need(sealed["context"].get("signer") == signer, "not by whom its place names")
    return sealed, signer

def open_custody(case):
    custody = fields(case["custody"], "sealed? signed?")
    need(len(custody) == 1, "one of two")
    sealed = custody["sealed"] if "sealed" in custody else read_signed(custody["signed"])[0]
    need("signed" in custody or "signer" not in sealed["context"], "the signature was left off")
    return open_sealed(sealed, frames_of(case), case["pairs"], case["place"])

def open_grant(case):
    grant = fields(parse(open_signed(case["signed"], "grant", case["pond_key"])), "bound sealed? signed?")
    need(len(grant) == 2 and fields(grant["bound"], "job claim worker") == case["bound"], "another claim")
    if "sealed" in grant:
        return open_sealed(grant["sealed"], frames_of(case), case["pairs"], case["place"], case["bound"])
    sealed, signer = read_signed(grant["signed"])
    need(signer == case.get("job_signer"), "the job is not by this signer")
    return open_sealed(sealed, frames_of(case), case["pairs"], {**case["place"], "signer": signer})

def frames_of(case):
    return from_base64(case["frames"]) if "frames" in case else b""

def open_inline(case):
    if "named" in case:
        need(all(box["to"] in case["named"] for box in case["sealed"]["boxes"]), "somebody else could read it")
    return open_sealed(case["sealed"], frames_of(case), case["pairs"], case["place"])

def open_attestation(case):
    """Digests of the stored bytes of one claim's streams, canonical."""
    said = json.loads(open_signed(case["signed"], "statement", case["key"]))
    fields(said, "_type subject predicateType predicate")
    need(said["_type"] == "https://in-toto.io/Statement/v1", "no statement")
    executions = fields(said["predicate"], "worker version executions")["executions"]
    subjects = {one["name"]: one["digest"]["sha256"] for one in said["subject"]}
    claims = {one["claim"]: one for one in executions}
    names = [f"{claim}/{name}" for claim, one in claims.items() for name in one["streams"] or ["stdout"]]
    need(len(subjects) == len(said["subject"]) and len(claims) == len(executions), "something stands twice")
    need(sorted(names) == sorted(subjects), "streams without subjects, or subjects without streams")
    execution = claims[case["claim"]]
    need(execution["job"] == case["job"], "another job")
    return canonical({name: subjects[f"{case['claim']}/{name}"] for name in execution["streams"]})

# Segments

class Stream:
    """Reads stored bytes from the beginning of a segment on."""

    def __init__(self, case):
        self.case, self.frames, self.header, self.ended = case, None, None, False
        self.at, self.offset, self.plain, self.hash = case.get("at", 0), None, [], None
        self.whole = self.at == 0

    def read(self, data):
        start = self.at
        while True:
            need(not self.ended or self.at - start == len(data), "bytes behind the end")
            rest = data[self.at - start :]
            if len(rest) < 4:
                return
            word = int.from_bytes(rest[:4], "big")
            size = self.read_header(word, rest) if word & HEADER_BIT else self.read_frame(word, rest)
            if size == 0:
                return

    def read_header(self, word, rest):
        length = word ^ HEADER_BIT
        need(length <= HEADER_MOST, "too long")
        size = 4 + length + 64 + SECRETSTREAM_HEADER
        if len(rest) < size:
            return 0
        text, signature = bytes(rest[4 : 4 + length]), bytes(rest[4 + length : 68 + length])
        header = fields(parse(text), "format context job_digest previous boxes worker")
        verify(header["worker"], b"pond-segment-1\n" + text, signature)
        need(header["worker"] in self.case["workers"], "not trusted")
        self.check_place(header, check_context(header["context"]))
        content_key = open_box(header, self.case["pairs"], header["context"])
        self.frames = Frames(content_key, bytes(rest[size - SECRETSTREAM_HEADER : size]), header["context"])
        self.header, self.hash, self.offset = header, hashlib.sha256(), header["context"]["offset"]
        return self.take(rest[:size])

    def check_place(self, header, context):
        place = {**self.case["stream"], "kind": "segment", "at": self.at}
        need({**context, **place} == context and whole(header["format"]) == 1, "another place")
        whole(context["at"])
        need(header["job_digest"] == self.case["job_digest"], "another job")
        need(all(box["to"] in self.case["named"] for box in header["boxes"]), "somebody else could read it")
        first, previous = whole(context["segment"]) == 0, header["previous"]
        need(first == (previous is None) == (self.at == 0), "another beginning")
        need(whole(context["offset"]) == 0 or not first, "another beginning")
        if self.header:
            follows = context["segment"] == self.header["context"]["segment"] + 1 and context["offset"] == self.offset
            need(follows and header["worker"] == self.header["worker"], "out of order")
            self.whole = self.whole and not self.frames
            need(previous == self.hash.hexdigest(), "not behind this one")

    def read_frame(self, word, rest):
        length = word & ~(TRAILER_BIT | END_BIT)
        need(self.frames and TAG < length <= TAG + FRAME, "no frame")
        if len(rest) < 4 + length:
            return 0
        data, final = self.frames.open(rest[4 : 4 + length])
        size = self.take(rest[: 4 + length])
        end = final and self.close(data)
        need(word == length | (TRAILER_BIT if final else 0) | (END_BIT if end else 0), "other bits")
        if not final:
            self.plain.append(data)
            self.offset += len(data)
        return size

    def close(self, data):
        self.frames = None
        if data.rstrip(b" ") == canonical({"end": False}):
            need(self.at % STRIDE == 0, "stops elsewhere")
            return False
        trailer = fields(parse(data), "end bytes sha256?")
        need(trailer["end"] is True and whole(trailer["bytes"]) == self.offset, "another end")
        digest = trailer.get("sha256")
        need(digest is None or text_of(digest, "[0-9a-f]{64}"), "no digest")
        need(digest is None or not self.whole or digest == sha256(b"".join(self.plain)), "another plaintext")
        self.ended = True
        return True

    def take(self, data):
        self.hash.update(data)
        self.at += len(data)
        return len(data)

def open_stream(case):
    stream = Stream(case)
    data = open(case["file"], "rb").read() if "file" in case else from_base64(case["stored"])
    stream.read(memoryview(data))
    need(stream.ended == case.get("ended", True), "whether it ends")
    return b"".join(stream.plain)

# Texts, and the cases

def open_key_text(case):
    prefix = {"recipient": "pond_recipient_", "signer": "pond_signer_"}[case["of"]]
    need(case["text"].startswith(prefix), "another kind")
    data = from_base64url(case["text"][len(prefix) :])
    need(len(data) == 36, "not whole")
    need(hashlib.sha256(prefix.encode() + data[:32]).digest()[:4] == data[32:], "a slip")
    return data[:32]

KINDS = {
    "box": lambda case: open_box(case["sealed"], case["pairs"], case["place"], case.get("bound")),
    "sealed": open_inline,
    "custody": open_custody,
    "grant": open_grant,
    "signed": lambda case: open_signed(case["signed"], case["type"], case["key"]),
    "attestation": open_attestation,
    "stream": open_stream,
    "key text": open_key_text,
    "fingerprint": lambda case: fingerprint(*case["keys"]).encode(),
}

def outcome(case):
    """What it opens to; None for what is refused."""
    try:
        return KINDS[case["kind"]](case)
    except (Refused, CryptoError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None

def is_right(case):
    opened = outcome(case)
    if case.get("refused"):
        return opened is None
    if opened is None:
        return False
    return sha256(opened) == case["sha256"] if "sha256" in case else opened == from_base64(case["opens"])

def main(paths):
    count, refused, wrong = 0, 0, 0
    for path in paths:
        for case in json.load(open(path, encoding="utf-8"))["cases"]:
            count, refused = count + 1, refused + bool(case.get("refused"))
            if not is_right(case):
                wrong += 1
                print(f"wrong: {path}: {case['kind']}: {case['what']}")
    print(f"{count - refused} opened, {refused} refused, {wrong} wrong")
    return 1 if wrong or count == 0 else 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
