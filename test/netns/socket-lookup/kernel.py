"""Binds and connects sockets of the kernel at random, sends to them, and writes who got what as JSON. Arguments: seed, number of cases."""
import json
import random
import socket
import sys

CHOICE = random.Random(int(sys.argv[1]))
CLIENT = '127.0.0.10'
PORT = 5000
DEVICES = {'': 0, 'lo': 1, 'other': 2}
ABORT = b'\1\0\0\0\0\0\0\0'


def bind(kind, address, device, reuse_address, reuse_port):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse_address)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
    if device:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b'\0')
    try:
        made.bind((address, PORT))
        if kind == 'tcp':
            made.listen(16)
    except OSError:
        made.close()
        return None
    made.settimeout(0)
    return made


def send(kind, destination, port):
    """Returns the client's port and what keeps the connection."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
    client.bind((CLIENT, port if kind == 'udp' else 0))
    if kind == 'udp':
        client.sendto(b'x', (destination, PORT))
    else:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        try:
            client.connect((destination, PORT))
        except OSError:
            pass
    return client.getsockname()[1], client


def has_got(kind, one):
    while True:
        try:
            if kind == 'udp':
                one.recv(10)
            else:
                accepted, _ = one.accept()
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                accepted.close()
            return True
        except ConnectionRefusedError:
            continue
        except OSError:
            return False


def case():
    kind = CHOICE.choice(['udp', 'tcp'])
    steps, sends, made = [], [], {}
    all_reuse, some_share = CHOICE.random() < 0.7, CHOICE.random() < 0.3
    for name in range(CHOICE.randint(1, 6)):
        address = CHOICE.choice(['0.0.0.0', '127.0.0.1', '127.0.0.2', '127.0.0.3'])
        device = CHOICE.choice(['', '', 'lo', 'other'])
        reuse_address = int(all_reuse or CHOICE.random() < 0.4)
        reuse_port = int(some_share and CHOICE.random() < 0.8)
        one = bind(kind, address, device, reuse_address, reuse_port)
        steps.append({'name': name, 'address': address, 'device': DEVICES[device], 'reuseAddress': reuse_address, 'reusePort': reuse_port, 'bound': one is not None})
        if one is not None:
            made[name] = (one, device)
    for name, (one, device) in made.items():
        if kind == 'tcp' or device == 'other' or CHOICE.random() > 0.35:
            continue
        port = CHOICE.choice([6000, 6001])
        try:
            one.connect((CLIENT, port))
        except OSError:
            continue
        steps.append({'name': name, 'remotePort': port, 'address': one.getsockname()[0]})
    for _ in range(4):
        destination = CHOICE.choice(['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'])
        port, client = send(kind, destination, CHOICE.choice([6000, 6001, 6002]))
        got = [name for name, (one, _) in made.items() if has_got(kind, one)]
        client.close()
        sends.append({'destination': destination, 'port': port, 'got': got})
    for one, _ in made.values():
        one.close()
    return {'kind': kind, 'steps': steps, 'sends': sends}


json.dump([case() for _ in range(int(sys.argv[2]))], sys.stdout)
