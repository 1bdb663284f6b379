import { describe, expect, it } from 'vitest'
import { Batch, createSlab, HEADROOM } from '../../../src/stack/batch.js'
import { NO_OFFLOADS } from '../../../src/stack/device/device.js'
import { MemoryDevice } from '../../../src/stack/device/memory.js'
import * as vnet from '../../../src/stack/wire/vnet.js'
import { buildTcp, buildUdp } from '../../../src/testing/packets.js'

const FLOW = { source: '10.0.0.2', destination: '198.51.100.10', sourcePort: 5000, destinationPort: 80 }
const SUPERPACKET = {
  flags: vnet.F_NEEDS_CSUM,
  gsoType: vnet.GSO_TCPV4,
  headerLength: 40,
  gsoSize: 1460,
  checksumStart: 20,
  checksumOffset: 16,
}
const NOTHING_LEFT = { flags: 0, gsoType: 0, headerLength: 0, gsoSize: 0, checksumStart: 0, checksumOffset: 0 }

const setUp = (capacity = 8, size = 1 << 20) => {
  const slab = createSlab(size)
  return { device: new MemoryDevice(), slab, region: { start: 0, end: size }, batch: new Batch(capacity) }
}

describe('memory device', () => {
  it('delivers packets in the canonical form', () => {
    const { device, slab, region, batch } = setUp()
    const first = buildUdp({ ...FLOW, payload: new Uint8Array(77) })
    const second = buildTcp({ ...FLOW, payload: new Uint8Array(4000) })
    device.push(first)
    device.push(second, SUPERPACKET)
    expect(device.pending).toBe(2)
    expect(device.receive(slab, region, batch)).toBe(2)
    expect(device.pending).toBe(0)
    for (const [i, packet] of [first, second].entries()) {
      const at = batch.at[i]!
      expect(at % 64).toBe(0)
      expect(batch.length[i]).toBe(packet.length)
      expect(slab.bytes.slice(at, at + packet.length)).toEqual(packet)
    }
    expect(batch.at[0]).toBeGreaterThanOrEqual(HEADROOM)
    expect(batch.at[1]! - batch.at[0]! - first.length).toBeGreaterThanOrEqual(HEADROOM)
    const header = batch.at[1]! - vnet.LENGTH
    expect(vnet.flags(slab.view, batch.at[0]! - vnet.LENGTH)).toBe(0)
    expect(vnet.gsoType(slab.view, header)).toBe(vnet.GSO_TCPV4)
    expect(vnet.checksumStart(slab.view, header)).toBe(20)
  })

  it('keeps a copy: neither side sees later changes of the other', () => {
    const { device, slab, region, batch } = setUp()
    const packet = buildUdp(FLOW)
    const original = packet.slice()
    device.push(packet)
    packet.fill(0)
    device.receive(slab, region, batch)
    device.send(slab, batch)
    slab.bytes.fill(0)
    expect(device.sent[0]?.bytes).toEqual(original)
  })

  it('keeps what was sent, its virtio header and neighbour', () => {
    const { device, slab, region, batch } = setUp()
    device.push(buildTcp(FLOW), SUPERPACKET)
    device.push(buildUdp(FLOW))
    device.receive(slab, region, batch)
    batch.link[1] = 5
    device.send(slab, batch)
    expect(batch.count).toBe(0)
    const sent = device.takeSent()
    expect(sent.map((packet) => packet.vnet)).toEqual([SUPERPACKET, NOTHING_LEFT])
    expect(sent.map((packet) => packet.link)).toEqual([0, 5])
    expect(device.takeSent()).toEqual([])
  })

  it('fills a batch, then the next', () => {
    const { device, slab, region, batch } = setUp(3)
    for (let i = 0; i < 7; i++) device.push(buildUdp({ ...FLOW, id: i }))
    expect([1, 2, 3, 4].map(() => device.receive(slab, region, batch))).toEqual([3, 3, 1, 0])
  })

  it('stays inside its region', () => {
    const { device, slab, batch } = setUp()
    slab.bytes.fill(0xee)
    for (let i = 0; i < 5; i++) device.push(new Uint8Array(1000))
    const region = { start: 1000, end: 5000 }
    expect(device.receive(slab, region, batch)).toBe(3)
    expect(batch.at[0]! - HEADROOM).toBeGreaterThanOrEqual(region.start)
    expect(batch.at[2]! + batch.length[2]!).toBeLessThanOrEqual(region.end)
    expect(slab.bytes.subarray(0, 1000).every((byte) => byte === 0xee)).toBe(true)
    expect(slab.bytes.subarray(5000, 6000).every((byte) => byte === 0xee)).toBe(true)
  })

  it('clears the batch first', () => {
    const { device, slab, region, batch } = setUp()
    batch.push(64, 20, 0)
    expect(device.receive(slab, region, batch)).toBe(0)
    expect(batch.count).toBe(0)
  })

  it('offers the offloads it is told to, by default none', () => {
    expect(new MemoryDevice().offloads).toEqual(NO_OFFLOADS)
    const device = new MemoryDevice({ name: 'lan', offloads: { checksum: true, tcp: true, udp: false } })
    expect([device.name, device.fd, device.offloads]).toEqual(['lan', -1, { checksum: true, tcp: true, udp: false }])
  })

  it('loses and counts packets while sends fail', () => {
    const { device, slab, region, batch } = setUp()
    for (let i = 0; i < 3; i++) device.push(buildUdp(FLOW))
    device.failSends(105)
    device.receive(slab, region, batch)
    device.send(slab, batch)
    expect([device.sent.length, batch.count]).toEqual([0, 0])
    expect(device.counters).toEqual({ sendErrors: 3, lastErrno: 105 })
    device.failSends(0)
    device.push(buildUdp(FLOW))
    device.receive(slab, region, batch)
    device.send(slab, batch)
    expect(device.sent.length).toBe(1)
  })

  it('says that it is gone', () => {
    const { device, slab, region, batch } = setUp()
    device.push(buildUdp(FLOW))
    device.vanish(19)
    expect(device.receive(slab, region, batch)).toBe(-19)
    batch.push(64, 20, 0)
    device.send(slab, batch)
    expect(device.counters).toEqual({ sendErrors: 1, lastErrno: 19 })
    device.close()
    expect(device.receive(slab, region, batch)).toBe(-77)
    expect(device.pending).toBe(0)
  })
})
