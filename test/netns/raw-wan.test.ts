/** The raw driver by itself: this file writes packets into the data plane's end of it, and reads what comes out there. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Guard } from '../../src/host/guard.js'
import { openNamespace, type NetworkNamespace } from '../../src/host/namespace.js'
import { parsePorts } from '../../src/host/port-set.js'
import { openRawSocket } from '../../src/host/raw-socket.js'
import { RAW_MARK, RawWan } from '../../src/host/raw-wan.js'
import { native } from '../../src/native.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'
import * as icmp4 from '../../src/stack/wire/icmp4.js'
import * as ipv4 from '../../src/stack/wire/ipv4.js'
import * as tcp from '../../src/stack/wire/tcp.js'
import * as vnet from '../../src/stack/wire/vnet.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { Lab } from '../../src/testing/lab/index.js'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../../src/testing/packets.js'

const HOST = '203.0.113.1'
const PEER = '203.0.113.9'
const PORTS = parsePorts('40000-40999')
const AT = 64

let lab: Lab
let host: LabNamespace
let peer: LabNamespace
let namespace: NetworkNamespace
let raw: RawWan
let guard: Guard
let errors: Error[]

const open = (wan = 'eth0'): RawWan => RawWan.open({
  wan,
  mark: RAW_MARK,
  addresses: () => [parseIpv4(HOST)!],
  ports: () => PORTS,
  protocols: [47, 50],
  wanMtu: () => 1500,
  lanMtu: () => 1500,
  namespace,
  onError: (error) => errors.push(error),
})

beforeEach(async () => {
  errors = []
  lab = await Lab.create(`rawwan${process.pid}`)
  host = await lab.namespace('host')
  peer = await lab.namespace('peer')
  await lab.link(host, { name: 'eth0', address: `${HOST}/24` }, peer, { name: 'eth0', address: `${PEER}/24` })
  namespace = openNamespace(host.path)
  raw = open()
  guard = await Guard.onOutput('raw', RAW_MARK, { addresses: [parseIpv4(HOST)!], tcp: PORTS, udp: PORTS }, namespace)
})
afterEach(async () => {
  raw.close()
  native().close(raw.handle.fd)
  guard.close()
  namespace.close()
  await lab.close()
})

interface Received {
  packet: Uint8Array
  view: DataView
  flags: number
  gsoType: number
  /** What is wrong with it. */
  problems: string[]
}

const write = (packet: Uint8Array): void => {
  const slab = new Uint8Array(AT + packet.length)
  slab.set(packet, AT)
  const result = new Int32Array(3)
  native().writeBatch(raw.handle.fd, false, slab, vnet.LENGTH, Int32Array.of(AT), Int32Array.of(packet.length), 1, result, 0)
  expect([...result]).toEqual([1, 0, 0])
}

const slab = new Uint8Array(1 << 18)
const slabView = new DataView(slab.buffer)
/** The next packet for the data plane, if one is there. */
const readNow = (): Received | null => {
  const at = new Int32Array(1)
  const length = new Int32Array(1)
  const count = native().readBatch(raw.handle.fd, false, slab, 0, slab.length, vnet.LENGTH, at, length, 1)
  if (count === 0) return null
  expect(count).toBe(1)
  const packet = slab.slice(at[0], at[0]! + length[0]!)
  const head = at[0]! - vnet.LENGTH
  const flags = vnet.flags(slabView, head)
  const gsoType = vnet.gsoType(slabView, head)
  const unfinished = {
    flags, gsoType,
    gsoSize: vnet.gsoSize(slabView, head),
    checksumStart: vnet.checksumStart(slabView, head),
    checksumOffset: vnet.checksumOffset(slabView, head),
  }
  return { packet, view: new DataView(packet.buffer), flags, gsoType, problems: checkPacket(packet, unfinished) }
}
const read = async (): Promise<Received> => {
  let received: Received | null = null
  await expect.poll(() => (received = readNow()), { timeout: 5000, interval: 2 }).not.toBeNull()
  expect(received!.problems).toEqual([])
  return received!
}

describe('the raw driver', () => {
  it('sends an ICMP echo request, and hands over the reply', async () => {
    write(buildIcmpEcho({ source: HOST, destination: PEER, identifier: 77, sequence: 3, payload: new Uint8Array(56) }))
    const { packet, view } = await read()
    expect(packet.length).toBe(84)
    expect(ipv4.source(view, 0)).toBe(parseIpv4(PEER))
    expect(icmp4.type(view, 20)).toBe(icmp4.ECHO_REPLY)
    expect(icmp4.identifier(view, 20)).toBe(77)
    expect(raw.counters).toEqual({ received: 1, sent: 1, sendErrors: 0, dropped: 0, lastError: null })
  })

  it('exchanges UDP, and says that the checksum of a neighbour on the same machine is unfinished', async () => {
    const server = peer.spawn('socat', ['UDP4-LISTEN:53,fork', 'EXEC:/bin/cat'])
    await expect.poll(async () => (await peer.run('ss', ['-Hlnu'])).stdout).toContain(':53')
    write(buildUdp({ source: HOST, destination: PEER, sourcePort: 40000, destinationPort: 53, payload: Buffer.from('hello') }))
    const { packet, flags } = await read()
    expect(Buffer.from(packet.subarray(28)).toString()).toBe('hello')
    expect(flags).toBe(vnet.F_NEEDS_CSUM)
    server.kill()
  })

  it('opens a TCP connection, which the kernel does not reset', async () => {
    peer.spawn('nc', ['-lnk', '8000'])
    await expect.poll(async () => (await peer.run('ss', ['-Hlnt'])).stdout).toContain(':8000')
    const capture = peer.spawn('tcpdump', ['-nnli', 'eth0', 'tcp'])
    await capture.waitFor(/listening on/)
    const ends = { source: HOST, destination: PEER, sourcePort: 40000, destinationPort: 8000 }
    write(buildTcp({ ...ends, flags: tcp.SYN, sequence: 1000 }))
    const { view } = await read()
    expect(tcp.flags(view, 20)).toBe(tcp.SYN | tcp.ACK)
    write(buildTcp({ ...ends, flags: tcp.ACK, sequence: 1001, acknowledgment: tcp.sequence(view, 20) + 1 }))
    await capture.waitFor(/\[S\.\][^]*203\.0\.113\.1\.40000 > 203\.0\.113\.9\.8000: Flags \[\.\]/)
    expect((await peer.run('ss', ['-Hnt', 'state', 'established'])).stdout).toContain(`${HOST}:40000`)
    expect(capture.stdout).not.toContain('[R')
  })

  it('sends no port-unreachable for what it receives', async () => {
    const capture = peer.spawn('tcpdump', ['-nnli', 'eth0', 'icmp'])
    await capture.waitFor(/listening on/)
    await peer.run('socat', ['-u', '-', `UDP4-SENDTO:${HOST}:40001`], { input: 'one', check: true })
    expect((await read()).packet.length).toBe(31)
    // What would have been sent would be here before the answer to this.
    await peer.run('ping', ['-c1', '-W2', HOST], { check: true })
    await capture.waitFor(/echo reply/)
    expect(capture.stdout).not.toContain('unreachable')
  })

  it('leaves the host\'s own traffic alone', async () => {
    await host.run('ping', ['-c1', '-W2', PEER], { check: true })
    await peer.run('ping', ['-c1', '-W2', HOST], { check: true })
    host.spawn('nc', ['-ln', '22'], { input: '' })
    await expect.poll(async () => (await host.run('ss', ['-Hlnt'])).stdout).toContain(':22')
    await peer.run('nc', ['-N', '-w2', HOST, '22'], { input: 'x', check: true })
    // The reply to the host's own ping is indistinguishable from one to a flow: the data plane has no flow for it.
    const { view } = await read()
    expect(icmp4.type(view, 20)).toBe(icmp4.ECHO_REPLY)
    expect(readNow()).toBeNull()
    expect(raw.counters.received).toBe(1)
  })

  it('counts what the kernel refuses, and goes on', async () => {
    write(buildUdp({ source: HOST, destination: PEER, sourcePort: 40000, destinationPort: 9, payload: new Uint8Array(3000) }))
    await expect.poll(() => raw.counters.sendErrors).toBe(1)
    expect(raw.counters.lastError).toBe(`cannot send to ${PEER}: Message too long`)
    write(buildIcmpEcho({ source: HOST, destination: PEER, identifier: 1 }))
    await read()
    expect(raw.counters).toMatchObject({ sent: 1, sendErrors: 1 })
    expect(errors).toEqual([])
  })

  it('hands over datagrams that came in fragments as a whole', async () => {
    await peer.run('socat', ['-u', '-b60000', '-', `UDP4-SENDTO:${HOST}:40001`], { input: 'x'.repeat(20_000), check: true })
    const { packet, flags } = await read()
    expect(packet.length).toBe(20_028)
    expect(flags).toBe(0)
  })

  it('marks TCP that the sender\'s kernel left whole', async () => {
    peer.spawn('sh', ['-c', 'head -c 60000 /dev/zero | nc -lnN 8000'])
    await expect.poll(async () => (await peer.run('ss', ['-Hlnt'])).stdout).toContain(':8000')
    const ends = { source: HOST, destination: PEER, sourcePort: 40000, destinationPort: 8000 }
    write(buildTcp({ ...ends, flags: tcp.SYN, sequence: 1000, options: Uint8Array.of(2, 4, 1460 >> 8, 1460 & 255) }))
    const { view } = await read()
    write(buildTcp({ ...ends, flags: tcp.ACK, sequence: 1001, acknowledgment: tcp.sequence(view, 20) + 1 }))
    const data = await read()
    expect(data.packet.length).toBeGreaterThan(1500)
    expect(data.gsoType).toBe(vnet.GSO_TCPV4)
  })

  it('drops UDP superpackets, and says so once', async () => {
    const UDP_SEGMENT = 103
    const program = `import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(17, ${UDP_SEGMENT}, 1000)
for i in range(2): s.sendto(bytes(8000), ('${HOST}', 40001))`
    await peer.run('python3', ['-c', program], { check: true })
    await expect.poll(() => raw.counters.dropped).toBe(2)
    expect(readNow()).toBeNull()
    expect(errors.map((error) => (error as { code?: string }).code)).toEqual(['RAW_UDP_SUPERPACKET'])
    expect(raw.counters.lastError).toBe(`UDP superpacket from ${PEER}`)
  })

  it('hands over a message about a smaller path MTU, and the kernel draws no conclusion from it', async () => {
    const server = await lab.namespace('server')
    await lab.link(peer, { name: 'eth1', address: '198.51.100.1/24' }, server, { name: 'eth0', address: '198.51.100.9/24', mtu: 1300 })
    await peer.mtu('eth1', 1300)
    peer.sysctl('net.ipv4.ip_forward', 1)
    await host.route('default', PEER)
    await server.route('default', '198.51.100.1')
    const big = buildUdp({ source: HOST, destination: '198.51.100.9', sourcePort: 40000, destinationPort: 9, df: true, payload: new Uint8Array(1372) })
    for (let i = 0; i < 2; i++) {
      write(big)
      const { view } = await read()
      expect([icmp4.type(view, 20), icmp4.code(view, 20), icmp4.mtu(view, 20)]).toEqual([icmp4.UNREACHABLE, icmp4.CODE_FRAGMENTATION_NEEDED, 1300])
    }
    expect((await host.run('ip', ['route', 'get', '198.51.100.9'])).stdout).not.toContain('mtu')
    expect(raw.counters).toMatchObject({ sent: 2, sendErrors: 0 })
  })

  it('follows the interface to another index', async () => {
    await host.run('ip', ['link', 'delete', 'eth0'], { check: true })
    await lab.link(host, { name: 'eth0', address: `${HOST}/24` }, peer, { name: 'eth0', address: `${PEER}/24` })
    const echo = buildIcmpEcho({ source: HOST, destination: PEER, identifier: 5 })
    write(echo)
    await expect.poll(() => raw.counters.sendErrors).toBe(1)
    raw.follow(host.index('eth0'))
    write(echo)
    await read()
    expect(raw.counters).toMatchObject({ sent: 1, received: 1 })
    expect(errors).toEqual([])
  })

  it('says when it cannot follow', async () => {
    await host.run('ip', ['link', 'delete', 'eth0'], { check: true })
    raw.follow(999)
    expect(errors.map(String)).toEqual(['Error: No such device'])
  })

  it('closes once, and the data plane\'s end then tells the end', () => {
    raw.close()
    raw.close()
    expect(native().readBatch(raw.handle.fd, true, slab, 0, slab.length, vnet.LENGTH, new Int32Array(1), new Int32Array(1), 1)).toBe(1)
  })

  it('rests when the data plane has closed its end', async () => {
    const { fd } = raw.handle
    native().close(fd)
    try {
      await peer.run('socat', ['-u', '-', `UDP4-SENDTO:${HOST}:40001`], { input: 'one', check: true })
      await expect.poll(() => raw.counters.dropped).toBe(1)
      expect(raw.counters.lastError).toBe('the data plane takes no packet: errno 32')
      const before = process.cpuUsage()
      await new Promise((resolve) => setTimeout(resolve, 200))
      const { user, system } = process.cpuUsage(before)
      expect(user + system).toBeLessThan(100_000)
    } finally {
      // So that there is something to close afterwards.
      raw.close()
      raw = open()
    }
  })
})

it('names an interface that does not exist, and those that do', () => {
  expect(() => open('eth7')).toThrow(expect.objectContaining({ code: 'UNKNOWN_INTERFACE', hint: 'existing ones: eth0' }))
})

it('says why a socket cannot be opened, and leaves none behind', () => {
  const options = { protocol: 1, device: 'eth7', mark: RAW_MARK, bufferBytes: 65536 }
  expect(() => namespace.run(() => openRawSocket(options))).toThrow(expect.objectContaining({ code: 'RAW_SOCKET', message: 'cannot open a raw socket on eth7: No such device' }))
})
