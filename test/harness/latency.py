# Holds every packet of an NFQUEUE back for a while, in order: latency_ms is the first argument. For kernels without netem; speaks netlink itself.
import select
import socket
import struct
import sys
import time
from collections import deque

NETLINK_NETFILTER = 12
QUEUE, PACKET, VERDICT, CONFIG = 3 << 8, 0, 1, 2
CFG_CMD, CFG_PARAMS, CFG_MAXLEN, CMD_BIND, COPY_META = 1, 2, 3, 1, 1
PACKET_HDR, VERDICT_HDR, NF_ACCEPT = 1, 2, 1
QUEUE_MOST = 60_000
# Many packets wait in the socket while this program is not scheduled; one that finds it full is lost.
SOCKET_BYTES = 8 * 1024 * 1024
SO_RCVBUFFORCE = 33


def attribute(kind, payload):
    padding = bytes(-len(payload) % 4)
    return struct.pack("=HH", 4 + len(payload), kind) + payload + padding


def message(kind, attributes):
    body = struct.pack("!BBH", socket.AF_UNSPEC, 0, 0) + attributes
    return struct.pack("=IHHII", 16 + len(body), QUEUE | kind, 1, 0, 0) + body


def packet_ids(data):
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        inner, end = at + 20, at + length
        while kind == QUEUE | PACKET and inner + 4 <= end:
            size, name = struct.unpack_from("=HH", data, inner)
            if name == PACKET_HDR:
                yield data[inner + 4 : inner + 8]
            inner += (size + 3) & ~3
        at += (length + 3) & ~3


def main(latency_s):
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    netlink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BYTES)
    netlink.bind((0, 0))
    netlink.send(message(CONFIG, attribute(CFG_CMD, struct.pack("!BBH", CMD_BIND, 0, 0))))
    netlink.send(message(CONFIG, attribute(CFG_PARAMS, struct.pack("!IB", 0, COPY_META))))
    netlink.send(message(CONFIG, attribute(CFG_MAXLEN, struct.pack("!I", QUEUE_MOST))))
    print("ready", flush=True)
    waiting = deque()
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([netlink], [], [], patience)[0]:
            due = time.monotonic() + latency_s
            waiting.extend((due, packet) for packet in packet_ids(netlink.recv(65536)))
        while waiting and waiting[0][0] <= time.monotonic():
            verdict = struct.pack("!I", NF_ACCEPT) + waiting.popleft()[1]
            netlink.send(message(VERDICT, attribute(VERDICT_HDR, verdict)))


main(float(sys.argv[1]) / 1000)
