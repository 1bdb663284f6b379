/** `tsnat nc`, `ping` and `ss`, with a gateway that only answers the control socket. */
import { afterEach, describe, expect, it } from 'vitest'
import type { SocketEvent, SocketFrame } from '../../src/api/socket-types.js'
import { ExitCode } from '../../src/errors.js'
import { serveGateway } from './gateway.js'
import { tsnat, tsnatWith } from './harness.js'

const served = serveGateway()
afterEach(() => expect(served.bugs).toEqual([]))

const OPEN: SocketEvent = { type: 'open', local: { address: '10.1.0.1', port: 4000 }, remote: { address: '192.0.2.1', port: 80 }, original: null }

/** Answers with what it gets, until the client ends. */
async function* echo(input: AsyncIterable<SocketFrame>): AsyncGenerator<SocketFrame> {
  yield OPEN
  for await (const frame of input) {
    yield frame
    if (!(frame instanceof Uint8Array)) return
  }
}
const saying = (...frames: SocketFrame[]) => async function* (): AsyncGenerator<SocketFrame> {
  yield* frames
}
/** The same, and then until the client goes. */
const waiting = (...frames: SocketFrame[]) => async function* (input: AsyncIterable<SocketFrame>): AsyncGenerator<SocketFrame> {
  yield* frames
  for await (const frame of input) if (frame === null) return
}

describe('tsnat nc', () => {
  it('carries standard input and output, whole', async () => {
    served.gateway.socket = echo
    const text = 'x'.repeat(1_000_000)
    expect(await tsnatWith(text, 'nc', '-N', '192.0.2.1', '80')).toMatchObject({ code: 0, out: text, err: '' })
    expect(served.gateway.opened[0]!.request).toEqual({ protocol: 'tcp', remote: { address: '192.0.2.1', port: 80 }, localAddress: null, localPort: 0, mark: 0, tos: 0 })
    expect(served.gateway.opened[0]!.received.every((frame) => !(frame instanceof Uint8Array) || frame.length <= 65_536)).toBe(true)
  })

  it('asks for what its words say', async () => {
    served.gateway.socket = saying()
    const asked = async (...words: string[]) => {
      await tsnat('nc', ...words)
      return served.gateway.opened.at(-1)!.request
    }
    expect(await asked('-u', '-p', '4000', '-s', '10.1.0.1', '--mark', '0x64', '--tos', '16', '192.0.2.1', '53'))
      .toEqual({ protocol: 'udp', remote: { address: '192.0.2.1', port: 53 }, localAddress: '10.1.0.1', localPort: 4000, mark: 100, tos: 16 })
    const listening = { protocol: 'tcp', remote: null, localAddress: null, localPort: 8080, mark: 0, tos: 0 }
    expect(await asked('-l', '8080')).toEqual(listening)
    expect(await asked('-l', '-p', '8080')).toEqual(listening)
    expect(await asked('-l', '-n', '10.1.0.1', '8080')).toEqual({ ...listening, localAddress: '10.1.0.1' })
    expect(await asked('-l', '-s', '10.1.0.1', '-p', '8080')).toEqual({ ...listening, localAddress: '10.1.0.1' })
  })

  it('-v tells addresses and ports', async () => {
    served.gateway.socket = saying(OPEN, { type: 'end' })
    expect((await tsnat('nc', '-v', '192.0.2.1', '80')).err).toBe('Connection to 192.0.2.1 80 port [tcp/*] succeeded!\nLocal address 10.1.0.1 port 4000\n')
    served.gateway.socket = saying({ type: 'listening', local: { address: '0.0.0.0', port: 80 } }, { ...OPEN, original: { address: '198.51.100.1', port: 443 } }, { type: 'end' })
    expect((await tsnat('nc', '-v', '-l', '80')).err).toBe('Listening on 0.0.0.0 80\nConnection received on 192.0.2.1 80, which was sent to 198.51.100.1 443\nLocal address 10.1.0.1 port 4000\n')
    served.gateway.socket = saying({ ...OPEN, local: { address: '0.0.0.0', port: 4000 } }, { type: 'moved', local: { address: '10.1.0.1', port: 4000 } })
    expect((await tsnat('nc', '-v', '-u', '192.0.2.1', '80')).err).toBe('Local address 10.1.0.1 port 4000\n')
  })

  it('ends with standard input and the other side; when it listens, with the other side', async () => {
    served.gateway.socket = waiting(OPEN, Buffer.from('bye'), { type: 'end' })
    expect(await tsnatWith('hello', 'nc', '192.0.2.1', '80')).toMatchObject({ code: 0, out: 'bye' })
    expect(served.gateway.opened[0]!.received).toEqual([Buffer.from('hello')])
    expect(await tsnatWith('', 'nc', '-l', '80')).toMatchObject({ code: 0, out: 'bye' })
    await expect.poll(() => served.gateway.opened.map(({ gone }) => gone)).toEqual([true, true])
  })

  it('sends datagrams of 16384 bytes at most', async () => {
    served.gateway.socket = waiting(OPEN)
    expect(await tsnatWith('y'.repeat(40_000), 'nc', '-u', '-w', '1', '192.0.2.1', '80')).toMatchObject({ code: 0 })
    expect(served.gateway.opened[0]!.received.map((frame) => (frame as Uint8Array).length)).toEqual([16_384, 16_384, 7232])
  })

  it.each([
    [[], ['192.0.2.1', '80'], { type: 'error', code: 'ECONNREFUSED', syscall: 'connect' }, 'connect to 192.0.2.1 port 80 (tcp) failed: Connection refused'],
    [[], ['192.0.2.1', '80'], { type: 'error', code: 'EADDRNOTAVAIL', syscall: 'bind' }, 'bind failed: Cannot assign requested address'],
    [[], ['-l', '80'], { type: 'error', code: 'EADDRINUSE', syscall: 'listen' }, 'listen on 0.0.0.0 port 80 (tcp) failed: Address already in use'],
    [[OPEN], ['192.0.2.1', '80'], { type: 'error', code: 'ECONNRESET', syscall: 'read' }, 'read: Connection reset by peer'],
    [[OPEN], ['-u', '192.0.2.1', '80'], { type: 'error', code: 'ECONNREFUSED', syscall: 'recvmsg' }, 'read: Connection refused'],
    [[OPEN], ['192.0.2.1', '80'], { type: 'stopped' }, 'the gateway has stopped'],
  ] as [SocketEvent[], string[], SocketEvent, string][])('tells an error in the words of nc: %j %j %j', async (before, words, event, text) => {
    served.gateway.socket = saying(...before, event)
    expect(await tsnat('nc', ...words)).toMatchObject({ code: ExitCode.failure, out: '', err: `nc: ${text}\n` })
  })

  it('gives up connecting, and ends when nothing happens', async () => {
    served.gateway.socket = waiting()
    expect(await tsnat('nc', '-w', '1', '192.0.2.1', '80')).toMatchObject({ code: 1, err: 'nc: connect to 192.0.2.1 port 80 (tcp) timed out\n' })
    served.gateway.socket = waiting(OPEN)
    expect(await tsnat('nc', '-w', '1', '192.0.2.1', '80')).toMatchObject({ code: 0, err: '' })
  })

  it.each([
    [[], 'nc wants an address and a port'], [['80'], 'nc wants an address and a port'], [['-l'], 'nc -l wants a port'], [['-l', '-p', '80', '81'], 'two ports to listen on'],
    [['-l', '-s', '10.0.0.1', '10.0.0.2', '80'], 'two addresses'], [['-l', '--tos', '1', '80'], '--tos is for what connects'],
    [['example.org', '80'], 'host "example.org" is not an IPv4 address\n  hint: names are not looked up'], [['192.0.2.1', 'http'], 'port "http" is not a number'], [['-k', '-l', '80'], '-k'],
  ])('refuses %j', async (words, text) => {
    const { code, err } = await tsnat('nc', ...words)
    expect(code).toBe(ExitCode.usage)
    expect(err).toContain(text)
    expect(served.gateway.opened).toEqual([])
  })

  it('tells that no gateway runs', async () => {
    expect(await tsnat('nc', '--name', 'other', '192.0.2.1', '80')).toMatchObject({ code: ExitCode.notRunning })
  })
})

describe('tsnat ping', () => {
  it('prints what ping prints', async () => {
    served.gateway.pinged = [
      { type: 'started', address: '192.0.2.1' },
      { type: 'reply', from: '192.0.2.1', sequence: 1, ttl: 63, bytes: 64, time: 0.0504, duplicate: false },
      { type: 'reply', from: '192.0.2.1', sequence: 1, ttl: 63, bytes: 64, time: 1.251, duplicate: true },
      { type: 'reply', from: '192.0.2.1', sequence: 2, ttl: 63, bytes: 64, time: 12.3456, duplicate: false },
      { type: 'reply', from: '192.0.2.1', sequence: 3, ttl: 63, bytes: 64, time: 123.456, duplicate: false },
      { type: 'failure', from: '10.0.0.254', sequence: 4, icmpType: 3, icmpCode: 1 },
      { type: 'failure', from: '10.0.0.254', sequence: 5, icmpType: 11, icmpCode: 0 },
      { type: 'failure', from: '10.0.0.254', sequence: 6, icmpType: 3, icmpCode: 13 },
      { type: 'failure', from: '10.0.0.254', sequence: 7, icmpType: 3, icmpCode: 99 },
      { type: 'error', sequence: 8, code: 'EPERM', syscall: 'send' },
    ]
    const { code, out, err } = await tsnat('ping', '-c', '9', '-s', '56', '-I', '10.0.0.1', '192.0.2.1')
    expect({ code, err }).toEqual({ code: 0, err: 'ping: sendmsg: Operation not permitted\n' })
    expect(out).toBe(`PING 192.0.2.1 (192.0.2.1) from 10.0.0.1 : 56(84) bytes of data.
64 bytes from 192.0.2.1: icmp_seq=1 ttl=63 time=0.050 ms
64 bytes from 192.0.2.1: icmp_seq=1 ttl=63 time=1.25 ms (DUP!)
64 bytes from 192.0.2.1: icmp_seq=2 ttl=63 time=12.3 ms
64 bytes from 192.0.2.1: icmp_seq=3 ttl=63 time=123 ms
From 10.0.0.254 icmp_seq=4 Destination Host Unreachable
From 10.0.0.254 icmp_seq=5 Time to live exceeded
From 10.0.0.254 icmp_seq=6 Packet filtered
From 10.0.0.254 icmp_seq=7 Dest Unreachable, Bad Code: 99

--- 192.0.2.1 ping statistics ---
10 packets transmitted, 4 received, +6 errors, 60% packet loss, time 1004ms
rtt min/avg/max/mdev = 0.050/1.250/12.346/0.500 ms
`)
  })

  it('exits with 1 without an answer, with 2 when nothing can be sent', async () => {
    served.gateway.pinged = [{ type: 'started', address: '192.0.2.1' }]
    expect(await tsnat('ping', '-c', '1', '192.0.2.1')).toMatchObject({ code: 1, out: expect.stringContaining('1 packets transmitted, 0 received, +1 errors, 100% packet loss, time 1004ms\n\n') })
    served.gateway.pinged.push({ type: 'error', sequence: 1, code: 'ENETUNREACH', syscall: 'send' })
    expect(await tsnat('ping', '192.0.2.1')).toMatchObject({ code: 2, err: 'ping: connect: Network is unreachable\n' })
    await expect.poll(() => served.gateway.pings.every(({ ended }) => ended)).toBe(true)
  })

  it('goes on until Ctrl-C; --json prints an object a line', async () => {
    served.gateway.pinged = [{ type: 'started', address: '192.0.2.1' }]
    const running = tsnat('ping', '--json', '-m', '100', '-Q', '0x10', '-t', '3', '-i', '0.2', '-W', '2', '192.0.2.1')
    await expect.poll(() => served.gateway.pings).toEqual([{ request: { host: '192.0.2.1', count: 0, interval: 0.2, size: 56, wait: 2, localAddress: null, mark: 100, tos: 16, ttl: 3 }, ended: false }])
    process.emit('SIGINT')
    expect((await running).out.trimEnd().split('\n').map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(['started', 'ended'])
  })

  it('refuses what it cannot read', async () => {
    expect(await tsnat('ping', '-i', '0', '192.0.2.1')).toMatchObject({ code: ExitCode.usage, err: expect.stringContaining('interval "0"') })
    expect(await tsnat('ping', 'localhost')).toMatchObject({ code: ExitCode.usage, err: expect.stringContaining('getent ahostsv4 localhost') })
  })
})

describe('tsnat ss', () => {
  const HEADING = 'Netid State     Recv-Q Send-Q Local Address:Port   Peer Address:Port'
  const lines = async (...words: string[]): Promise<string[]> => (await tsnat('ss', ...words)).out.trimEnd().split('\n')

  it('prints the columns of ss', async () => {
    expect(await lines('-a', '-n')).toEqual([
      HEADING,
      'tcp   LISTEN    0      1            0.0.0.0:8080        0.0.0.0:*',
      'tcp   TIME-WAIT 0      0           10.1.0.1:40221 198.51.100.10:80',
      'tcp   ESTAB     12     65536       10.1.0.1:40222 198.51.100.10:80',
      'udp   UNCONN    0      0            0.0.0.0:53          0.0.0.0:*',
    ])
    expect(await lines('-t')).toEqual(['State Recv-Q Send-Q Local Address:Port   Peer Address:Port', 'ESTAB 12     65536       10.1.0.1:40222 198.51.100.10:80'])
    expect(await lines('-tlH')).toEqual(['LISTEN 0 1 0.0.0.0:8080 0.0.0.0:*'])
    expect(await lines('-w')).toEqual(['State Recv-Q Send-Q Local Address:Port Peer Address:Port'])
  })

  it('prints JSON', async () => {
    expect(JSON.parse((await tsnat('ss', '-lu', '--json')).out)).toEqual([served.gateway.list[0]])
    expect((await lines('--json')).join('')).toContain('"ESTAB"')
  })

  it('the control socket lists them, too, in both forms', async () => {
    const { createControlClient } = await import('../../src/api/client.js')
    const found = []
    for await (const one of createControlClient('default').sockets()) found.push(one)
    expect(found).toEqual(served.gateway.list)
  })
})

it('status counts sockets, when there are some', async () => {
  expect((await tsnat('status')).out).toContain('  own    4 of 65 536 sockets (TCP 2, UDP 1, ICMP 0, TIME_WAIT 1)\n')
  served.gateway.state.sockets = { ...served.gateway.state.sockets, count: 0 }
  expect((await tsnat('status')).out).not.toContain('sockets')
})
