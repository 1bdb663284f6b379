import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Batch, createSlab } from '../../../src/stack/batch.js'
import {
  CaptureConsumer,
  CaptureProducer,
  createCaptureRing,
  DIRECTION_IN,
  DIRECTION_OUT,
  RING_MIN,
} from '../../../src/stack/device/capture-ring.js'
import { MemoryDevice } from '../../../src/stack/device/memory.js'
import { PcapDevice } from '../../../src/stack/device/pcap.js'
import * as pcapng from '../../../src/stack/wire/pcapng.js'
import * as tcp from '../../../src/stack/wire/tcp.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildTcp, buildUdp, mssOption } from '../../../src/testing/packets.js'

const FLOW = { source: '10.0.0.2', destination: '198.51.100.10', sourcePort: 5000, destinationPort: 80 }
const SIDE = 1
/** 2023-11-14 22:13:20.123456 UTC, in microseconds. */
const TIME = 1_700_000_000_123_456

const available = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined

const setUp = () => {
  const size = 1 << 20
  const slab = createSlab(size)
  const inner = new MemoryDevice()
  let now = TIME
  let reads = 0
  const device = new PcapDevice(inner, SIDE, () => (reads++, now++))
  const ring = createCaptureRing(RING_MIN)
  const producer = new CaptureProducer(ring)
  const consumer = new CaptureConsumer(ring)
  return { device, inner, slab, region: { start: 0, end: size }, batch: new Batch(8), producer, consumer, clockReads: () => reads }
}

describe('pcap device', () => {
  it('without a sink passes packets and never asks for the time', () => {
    const { device, inner, slab, region, batch, clockReads } = setUp()
    inner.push(buildUdp(FLOW))
    expect(device.receive(slab, region, batch)).toBe(1)
    device.send(slab, batch)
    expect(inner.sent.length).toBe(1)
    expect(clockReads()).toBe(0)
  })

  it('copies what comes in and goes out, one time for a batch', () => {
    const { device, inner, slab, region, batch, producer, consumer, clockReads } = setUp()
    device.sink = producer
    const packets = [buildUdp(FLOW), buildTcp(FLOW)]
    for (const packet of packets) inner.push(packet)
    expect(device.receive(slab, region, batch)).toBe(2)
    const incoming = [consumer.read(), consumer.read()]
    expect(incoming.map((record) => record?.bytes)).toEqual(packets)
    expect(incoming.every((record) => record?.direction === DIRECTION_IN && record.side === SIDE && record.timestamp === TIME)).toBe(true)

    slab.bytes[batch.at[0]! + 8] = 63
    device.send(slab, batch)
    const sent = consumer.read()
    expect(sent).toMatchObject({ direction: DIRECTION_OUT, timestamp: TIME + 1, originalLength: packets[0]!.length })
    expect(sent?.bytes).toEqual(inner.sent[0]?.bytes)
    expect(clockReads()).toBe(2)
    expect(batch.count).toBe(0)
  })

  it('stops when the sink is taken away', () => {
    const { device, inner, slab, region, batch, producer, consumer } = setUp()
    device.sink = producer
    device.sink = undefined
    inner.push(buildUdp(FLOW))
    device.receive(slab, region, batch)
    expect(consumer.read()).toBeUndefined()
  })

  it('asks for no time when nothing passed or the device is gone', () => {
    const { device, inner, slab, region, batch, producer, clockReads } = setUp()
    device.sink = producer
    expect(device.receive(slab, region, batch)).toBe(0)
    device.send(slab, batch)
    inner.vanish(19)
    expect(device.receive(slab, region, batch)).toBe(-19)
    expect(clockReads()).toBe(0)
  })

  it('loses copies, never packets, when the ring is full', () => {
    const { device, inner, slab, region, batch, producer, consumer } = setUp()
    device.sink = producer
    const large = buildUdp({ ...FLOW, payload: new Uint8Array(60000) })
    for (let i = 0; i < 8; i++) inner.push(large)
    while (inner.pending > 0) {
      device.receive(slab, region, batch)
      device.send(slab, batch)
    }
    expect(inner.sent.length).toBe(8)
    expect(consumer.missed(SIDE)).toBe(12)
  })

  it('shows the wrapped device', () => {
    const { device, inner, slab, region, batch } = setUp()
    expect([device.name, device.fd, device.offloads]).toEqual([inner.name, inner.fd, inner.offloads])
    expect(device.counters).toBe(inner.counters)
    device.close()
    expect(device.receive(slab, region, batch)).toBe(-77)
  })
})

describe('capture files', () => {
  /** Every kind of packet, as tsnat's own codecs make them, through the tap into a file. */
  const withFile = (use: (path: string, count: number) => void): void => {
    const { device, inner, slab, region, batch, producer, consumer } = setUp()
    device.sink = producer
    const udp = buildUdp({ ...FLOW, payload: new Uint8Array(3000).fill(5), id: 9 })
    const packets = [
      buildTcp({ ...FLOW, flags: tcp.SYN, options: mssOption(1460) }),
      buildUdp({ ...FLOW, destinationPort: 9, payload: Uint8Array.of(1, 2, 3) }),
      buildIcmpEcho({ ...FLOW, identifier: 7, sequence: 1, payload: new Uint8Array(56) }),
      buildIcmpError({ ...FLOW, type: 3, code: 4, mtu: 1400, quote: udp }),
      ...buildFragments(udp, 1500),
      buildUdp({ ...FLOW, destinationPort: 9, corrupt: 'transport', payload: Uint8Array.of(1) }),
    ]
    for (const packet of packets) inner.push(packet)
    device.receive(slab, region, batch)
    device.send(slab, batch)
    const blocks = [
      pcapng.sectionHeader({ hardware: 'test', os: 'Linux', application: 'tsnat test' }),
      pcapng.interfaceDescription({ name: 'tun0', linkType: pcapng.LINKTYPE_IPV4, snapLength: 65535 }),
      pcapng.interfaceDescription({ name: 'eth0', linkType: pcapng.LINKTYPE_IPV4, snapLength: 65535 }),
    ]
    for (let record = consumer.read(); record !== undefined; record = consumer.read()) {
      const { timestamp, side, direction, originalLength, bytes, missed } = record
      const packet = { interfaceId: side, timestamp, originalLength, bytes, dropped: missed }
      blocks.push(pcapng.enhancedPacket({ ...packet, direction: direction === DIRECTION_IN ? 'in' : 'out' }))
    }
    blocks.push(pcapng.interfaceStatistics({ interfaceId: 1, timestamp: TIME, received: packets.length * 2, dropped: 4 }))
    const folder = mkdtempSync(join(tmpdir(), 'tsnat-pcap-'))
    try {
      const path = join(folder, 'test.pcapng')
      writeFileSync(path, Buffer.concat(blocks))
      use(path, packets.length * 2)
    } finally {
      rmSync(folder, { recursive: true })
    }
  }

  const CHECKS = ['ip.check_checksum', 'tcp.check_checksum', 'udp.check_checksum'].flatMap((name) => ['-o', `${name}:TRUE`])
  const tshark = (path: string, ...args: string[]): string[] =>
    execFileSync('tshark', ['-r', path, ...CHECKS, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .trimEnd()
      .split('\n')

  it.skipIf(!available('tshark'))('tshark reads all of it: times, interfaces, directions, and the same checksum faults', () => {
    withFile((path, count) => {
      const fields = ['frame.time_epoch', 'frame.interface_name', 'frame.packet_flags_direction', '_ws.col.Protocol']
      const rows = tshark(path, '-T', 'fields', ...fields.flatMap((name) => ['-e', name]))
      expect(rows.length).toBe(count)
      expect(rows[0]).toMatch(/^1700000000\.123456000\teth0\t0x00000001\tTCP$/)
      expect(rows[count / 2]).toMatch(/^1700000000\.123457000\teth0\t0x00000002\tTCP$/)
      expect(tshark(path, '-Y', 'ip.checksum.status == 0 || tcp.checksum.status == 0 || icmp.checksum.status == 0')).toEqual([''])
      expect(tshark(path, '-Y', 'udp.checksum.status == 0').length).toBe(2)
      expect(tshark(path, '-Y', 'udp.checksum.status == 1 && udp.length == 3008').length).toBe(2)
      expect(tshark(path, '-Y', 'icmp.type == 3 && icmp.mtu == 1400 && udp.dstport == 80').length).toBe(2)
      expect(tshark(path, '-Y', 'tcp.options.mss_val == 1460').length).toBe(2)
      expect(tshark(path, '-Y', '_ws.malformed')).toEqual([''])
    })
  })

  it.skipIf(!available('tcpdump'))('tcpdump reads all of it', () => {
    withFile((path, count) => {
      // From standard input: run by root, tcpdump becomes another user before it opens files.
      const input = readFileSync(path)
      const text = execFileSync('tcpdump', ['-nvr', '-'], { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'ignore'] })
      expect(text.match(/^\S+ (.*)?IP \(/gm)?.length).toBe(count)
      expect(text).toContain('10.0.0.2.5000 > 198.51.100.10.80: Flags [S], cksum')
      expect(text).not.toContain('bad cksum 0')
    })
  })
})
