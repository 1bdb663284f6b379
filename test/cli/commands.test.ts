import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { defaultSocketPath } from '../../src/api/instance.js'
import { openControlServer } from '../../src/api/server.js'
import type { ControlServer } from '../../src/api/server.js'
import { ExitCode } from '../../src/errors.js'
import { version } from '../../src/version.js'
import { createGatewayDouble, exampleStatus, tcpFlow, udpFlow } from '../api/gateway-double.js'
import type { GatewayDouble } from '../api/gateway-double.js'
import { tsnat } from './harness.js'

let folder: string
let server: ControlServer
let gateway: GatewayDouble
let bugs: unknown[]

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tsnat-cli-'))
  vi.stubEnv('TSNAT_RUN_DIR', join(folder, 'run'))
  gateway = createGatewayDouble()
  bugs = []
  server = await openControlServer({ name: 'default', path: defaultSocketPath('default'), onError: (error) => bugs.push(error) })
  server.attach(gateway)
})
afterEach(async () => {
  await server.close()
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true })
})

const TCP = 'tcp      6 431998 ESTABLISHED src=10.0.0.2 dst=198.51.100.10 sport=50594 dport=8080 packets=4 bytes=219 src=198.51.100.10 dst=198.51.100.1 sport=8080 dport=50594 packets=3 bytes=167 [ASSURED] mark=0 use=1\n'
const UDP = 'udp      17 28 src=10.0.0.2 dst=198.51.100.10 sport=41169 dport=5353 packets=1 bytes=31 [UNREPLIED] src=198.51.100.10 dst=198.51.100.1 sport=5353 dport=41169 packets=0 bytes=0 mark=0 use=1\n'
const ICMP = 'icmp     1 28 src=10.0.0.2 dst=198.51.100.10 type=8 code=0 id=5839 packets=2 bytes=168 src=198.51.100.10 dst=198.51.100.1 type=0 code=0 id=5839 packets=2 bytes=168 mark=0 use=1\n'
const shown = (count: number, verb = 'shown'): string => `conntrack v${version()} (tsnat): ${count} flow entries have been ${verb}.\n`

describe('tsnat conntrack', () => {
  it('lists as conntrack does, summary on standard error', async () => {
    expect(await tsnat('conntrack', '-L')).toMatchObject({ code: ExitCode.ok, out: TCP + UDP + ICMP, err: shown(3) })
    expect(await tsnat('conntrack', '-L', 'conntrack', '-o', 'extended')).toMatchObject({ out: [TCP, UDP, ICMP].map((line) => `ipv4     2 ${line}`).join('') })
  })

  it.each([
    [['-p', 'tcp'], TCP],
    [['-p', '17'], UDP],
    [['--protonum', 'ICMP'], ICMP],
    [['-s', '10.0.0.0/24', '--sport', '50594'], TCP],
    [['--src', '10.0.0.2', '--orig-port-src', '41169'], UDP],
    [['--orig-src', '10.9.9.9'], ''],
    [['-d', '198.51.100.10', '--dport', '8080'], TCP],
    [['--dst', '198.51.100.10', '--orig-port-dst', '5353'], UDP],
    [['--orig-dst', '198.51.100.0/24', '--proto', 'icmp'], ICMP],
    [['-r', '198.51.100.10', '--reply-port-src', '8080'], TCP],
    [['-q', '198.51.100.1', '--reply-port-dst', '41169'], UDP],
    [['--state', 'ESTABLISHED'], TCP],
    [['-m', '1'], ''],
    [['-n'], TCP + UDP + ICMP],
    [['-n', '198.51.100.2'], ''],
    [['--src-nat', '198.51.100.1', '-p', 'udp', '-f', 'ipv4'], UDP],
  ])('filters: %j', async (args, expected) => {
    const { code, out } = await tsnat('conntrack', '-L', ...args)
    expect({ code, out }).toEqual({ code: ExitCode.ok, out: expected })
  })

  it('counts', async () => {
    expect(await tsnat('conntrack', '-C')).toMatchObject({ code: ExitCode.ok, out: '3\n', err: '' })
    expect(await tsnat('conntrack', '--count', '--json')).toMatchObject({ out: '{"count":3}\n' })
  })

  it('deletes, prints what it deleted, and fails when there was nothing', async () => {
    expect(await tsnat('conntrack', '-D', '-p', 'udp')).toMatchObject({ code: ExitCode.ok, out: UDP, err: shown(1, 'deleted') })
    expect(await tsnat('conntrack', '-D', '-p', 'udp')).toMatchObject({ code: ExitCode.failure, out: '', err: shown(0, 'deleted') })
    expect(gateway.table).toHaveLength(2)
  })

  it('-E prints events until Ctrl-C, then how many', async () => {
    const flow = udpFlow()
    gateway.batches = [[{ type: 'new', time: 1795167009016, flow }, { type: 'lost', count: 7 }], [{ type: 'destroy', time: 1795167012000, flow: { ...flow, timeout: 0 } }]]
    const running = tsnat('conntrack', '-E', '-e', 'new,DESTROY', '-p', 'udp', '-b', '1048576')
    await expect.poll(() => gateway.listeners).toEqual([{ request: { filter: { protocol: 'udp' }, types: ['new', 'destroy'] }, ended: false }])
    process.emit('SIGINT')
    const { code, out, err } = await running
    expect(code).toBe(ExitCode.ok)
    const [head, tail] = ['src=10.0.0.2 dst=198.51.100.10 sport=41169 dport=5353', 'src=198.51.100.10 dst=198.51.100.1 sport=5353 dport=41169']
    expect(out).toBe(`    [NEW] udp      17 28 ${head} [UNREPLIED] ${tail}\n[DESTROY] udp      17 ${head} packets=1 bytes=31 [UNREPLIED] ${tail} packets=0 bytes=0\n`)
    expect(err).toBe(`WARNING: 7 events have been lost: they came faster than they were read.\nconntrack v${version()} (tsnat): 2 flow events have been shown.\n`)
  })

  it('-E --json prints each event as an object on a line of its own', async () => {
    gateway.batches = [[{ type: 'new', time: 1, flow: tcpFlow() }, { type: 'lost', count: 7 }]]
    const running = tsnat('conntrack', '--event', '--json')
    await expect.poll(() => gateway.listeners).toHaveLength(1)
    process.emit('SIGTERM')
    const { out, err } = await running
    expect(out.trimEnd().split('\n').map((line): unknown => JSON.parse(line))).toEqual(gateway.batches[0])
    expect(err).toBe('')
  })

  it('-E refuses kinds that are none', async () => {
    expect(await tsnat('conntrack', '-E', '-e', 'NEW,OLD')).toMatchObject({ code: ExitCode.usage, out: '' })
  })

  it('prints JSON', async () => {
    const { out, err } = await tsnat('conntrack', '-L', '--json')
    expect(JSON.parse(out)).toEqual(gateway.table)
    expect(out.split('\n')).toHaveLength(5)
    expect(err).toBe('')
    expect((await tsnat('conntrack', '-L', '--json', '-m', '9')).out).toBe('[]\n')
  })

  it('prints a long table whole', async () => {
    gateway.table = Array.from({ length: 30_000 }, (_, i) => tcpFlow(i))
    const { out, err } = await tsnat('conntrack', '-L')
    expect(out.split('\n')).toHaveLength(30_001)
    expect(err).toBe(shown(30_000))
  })
})

describe('tsnat status', () => {
  it('prints a compact report', async () => {
    const { code, out, err } = await tsnat('status')
    expect({ code, err }).toEqual({ code: ExitCode.ok, err: '' })
    expect(out).toBe(
      [
        `tsnat default: ready, up 2 h 4 min, pid ${process.pid}, version 0.1.0`,
        '  LAN    tun0 10.77.0.2/24, gateway 10.77.0.1, MTU 1500, capture default',
        '         received 12 345 packets, 1.2 MB; sent 23 456 packets, 988 MB',
        '         offloads: checksum, TCP segmentation, UDP segmentation',
        '  WAN    eth0 198.51.100.1 via 198.51.100.254 (52:54:00:12:34:56), MTU 1500, packet driver',
        '         shared address, ports 512-599,36864-60999',
        '         received 23 456 packets, 988 MB; sent 12 345 packets, 1.2 MB',
        '         2 not sent, latest ENOBUFS',
        '         5 dropped by the kernel before tsnat could read them',
        '         offloads: checksum, TCP segmentation',
        '  flows  3 of 262 144 (TCP 1, UDP 1, ICMP 1)',
        '         opened 1 000, expired 997, refused 4',
        '  limits profile behave; 2 inside addresses, flows of each no limit, new ones at most 100 a second',
        '         half-open TCP 1, at most 5 000, of each address no limit',
        '         held fragments 2.0 kB of 4.2 MB; ICMP errors at most 1 000 a second, 12 withheld',
        '         flows by rule: 3 of 1 000, 0',
        '         7 flows of forged addresses gave way',
        '  own    4 of 65 536 sockets (TCP 2, UDP 1, ICMP 0, TIME_WAIT 1)',
        '  drops  12 ttl-expired',
        '         7 no-flow',
        '',
      ].join('\n'),
    )
  })

  it('says what is wrong', async () => {
    const status = exampleStatus()
    gateway.state = { ...status, state: 'degraded', reasons: ['eth0 is down'], drops: {}, wans: [{ ...status.wans[0]!, up: false, address: null, nextHop: null, neighbour: null, offloads: { vnetHeader: false, checksum: false, tcpSegmentation: false, udpSegmentation: false } }] }
    const { code, out } = await tsnat('status')
    expect(code).toBe(ExitCode.ok)
    expect(out).toContain('tsnat default: degraded')
    expect(out).toContain('  ! eth0 is down\n')
    expect(out).toContain('  WAN    eth0 no address, MTU 1500')
    expect(out).toContain('         down\n')
    expect(out).toContain('offloads: off\n')
    expect(out).toContain('  drops  none\n')
  })

  it('prints JSON', async () => {
    expect(JSON.parse((await tsnat('status', '--json')).out)).toEqual(gateway.state)
  })

  it('--wait returns once it is ready', async () => {
    gateway.state = { ...exampleStatus(), state: 'starting' }
    const waiting = tsnat('status', '--wait', '20')
    await new Promise((resolve) => setImmediate(resolve))
    gateway.state = exampleStatus()
    expect((await waiting).code).toBe(ExitCode.ok)
    gateway.state = { ...exampleStatus(), state: 'degraded', reasons: ['no default route'] }
    expect((await tsnat('status', '--wait', '0')).err).toContain('was not ready after 0 s: it is degraded: no default route')
  })

  it('finds an instance by its socket', async () => {
    expect((await tsnat('status', '--name', 'other', '--socket', server.path)).code).toBe(ExitCode.ok)
    expect((await tsnat('status', '--name', 'other')).err).toContain('hint: running: default (choose with --name)')
  })
})

describe('tsnat capture', () => {
  /** A section header, an interface, and packets of 60 bytes, the last with a drop count of 5. */
  const pcapng = (packets: number): Buffer => {
    const block = (type: number, body: Buffer): Buffer => {
      const out = Buffer.alloc(12 + body.length)
      out.writeUInt32LE(type, 0)
      out.writeUInt32LE(out.length, 4)
      body.copy(out, 8)
      out.writeUInt32LE(out.length, out.length - 4)
      return out
    }
    const header = Buffer.alloc(16)
    header.writeUInt32LE(0x1a2b3c4d, 0)
    const packet = (last: boolean): Buffer => {
      const body = Buffer.alloc(20 + 60)
      body.writeUInt32LE(60, 12)
      body.writeUInt32LE(60, 16)
      // opt flags = outbound, opt drop count = 5, end of options
      return last ? Buffer.concat([body, Buffer.from('020004000200000004000800050000000000000000000000', 'hex')]) : body
    }
    return Buffer.concat([block(0x0a0d0d0a, header), block(1, Buffer.alloc(8)), ...Array.from({ length: packets }, (_, i) => block(6, packet(i === packets - 1)))])
  }

  it('writes a file for its owner and sums up', async () => {
    gateway.captureChunk = pcapng(3)
    const path = join(folder, 'x.pcapng')
    expect(await tsnat('capture', '-w', path, '-c', '3', '-i', 'wan', '-s', '96')).toMatchObject({ code: ExitCode.ok, out: '', err: `3 packets captured, 5 missed, written to ${path}\n` })
    expect(readFileSync(path)).toEqual(gateway.captureChunk)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(gateway.captures[0]!.request).toEqual({ side: 'wan', snaplen: 96, count: 3 })
  })

  it('writes to standard output', async () => {
    gateway.captureChunk = pcapng(1)
    const { bytes, err } = await tsnat('capture', '-w', '-', '-c', '1', '--json')
    expect(bytes).toEqual(gateway.captureChunk)
    expect(JSON.parse(err)).toEqual({ packets: 1, missed: 5 })
  })

  it('ends in good order at SIGINT', async () => {
    gateway.captureChunk = pcapng(2)
    const path = join(folder, 'y.pcapng')
    const running = tsnat('capture', '-w', path)
    await vi.waitFor(() => expect(statSync(path).size).toBeGreaterThan(0))
    process.emit('SIGINT')
    expect(await running).toMatchObject({ code: ExitCode.ok, err: `2 packets captured, 5 missed, written to ${path}\n` })
    expect(process.listenerCount('SIGINT')).toBe(0)
  })

  it('says why it cannot write', async () => {
    expect(await tsnat('capture', '-w', join(folder, 'none', 'x'))).toMatchObject({ code: ExitCode.failure, err: expect.stringContaining('/none/x: it or its folder does not exist\n') })
    gateway.captureChunk = pcapng(2)
    const { code, err } = await tsnat('capture', '-w', '/dev/full', '-c', '2')
    expect(code).toBe(ExitCode.failure)
    expect(err).toContain('cannot write the capture to /dev/full: the disk is full')
    await vi.waitFor(() => expect(gateway.captures.every(({ ended }) => ended)).toBe(true))
  })
})

it("a bug of the gateway's is told as a bug", async () => {
  gateway.broken = new TypeError('cannot read x')
  expect(await tsnat('status')).toMatchObject({ code: ExitCode.bug, err: expect.stringContaining('cannot read x') })
  expect(bugs).toEqual([gateway.broken])
})
