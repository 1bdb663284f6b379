import { describe, expect, it } from 'vitest'
import { Batch, createSlab } from '../../../src/stack/batch.js'
import { FAULT_SLOT, FaultDevice } from '../../../src/stack/device/fault.js'
import type { FaultRates } from '../../../src/stack/device/fault.js'
import { MemoryDevice } from '../../../src/stack/device/memory.js'
import type { VnetHeader } from '../../../src/stack/device/memory.js'
import * as checksum from '../../../src/stack/wire/checksum.js'
import * as ipv4 from '../../../src/stack/wire/ipv4.js'
import * as vnet from '../../../src/stack/wire/vnet.js'
import { checkPacket } from '../../../src/testing/check-packet.js'
import { buildTcp, buildUdp } from '../../../src/testing/packets.js'

const FLOW = { source: '10.0.0.2', destination: '198.51.100.10', sourcePort: 5000, destinationPort: 80 }
const SUPERPACKET = { flags: vnet.F_NEEDS_CSUM, gsoType: vnet.GSO_TCPV4, gsoSize: 1460, checksumStart: 20, checksumOffset: 16 }
const PACKETS = 1 << 20
const CAPACITY = 16

const numbered = (id: number): Uint8Array => buildUdp({ ...FLOW, id, payload: Uint8Array.of(id >>> 8, id & 0xff, 3, 4) })
const idOf = (bytes: Uint8Array): number => ipv4.identification(new DataView(bytes.buffer, bytes.byteOffset), 0)

const setUp = (rates: { incoming?: FaultRates; outgoing?: FaultRates }, slots = 16, seed = 1, capacity = CAPACITY) => {
  const storage = { start: PACKETS, end: PACKETS + slots * FAULT_SLOT }
  const slab = createSlab(storage.end + 64)
  const inner = new MemoryDevice()
  const device = new FaultDevice(inner, { ...rates, seed, storage })
  const region = { start: 0, end: PACKETS }
  const batch = new Batch(capacity)

  /** Everything that comes out when these packets come in, batch by batch; each is overwritten once read, as a pipeline may. */
  const incoming = (packets: readonly Uint8Array[], header: Partial<VnetHeader> = {}): Uint8Array[] => {
    const out: Uint8Array[] = []
    for (const packet of packets) inner.push(packet, header)
    while (inner.pending > 0) {
      const count = device.receive(slab, region, batch)
      expect(count).toBe(batch.count)
      for (let i = 0; i < count; i++) {
        const at = batch.at[i]!
        out.push(slab.bytes.slice(at, at + batch.length[i]!))
        slab.bytes.fill(0, at - vnet.LENGTH, at + batch.length[i]!)
      }
    }
    return out
  }

  const outgoing = (packets: readonly Uint8Array[]): Uint8Array[] => {
    const source = new MemoryDevice()
    for (const packet of packets) source.push(packet)
    while (source.pending > 0) {
      source.receive(slab, region, batch)
      device.send(slab, batch)
      expect(batch.count).toBe(0)
    }
    return inner.takeSent().map(({ bytes }) => bytes)
  }
  return { device, inner, slab, region, batch, incoming, outgoing }
}

const thousand = Array.from({ length: 1000 }, (_, id) => numbered(id))
const ids = (packets: readonly Uint8Array[]): number[] => packets.map(idOf)
const BOTH = ['incoming', 'outgoing'] as const

describe.each(BOTH)('fault device, %s', (direction) => {
  it('passes everything on when there are no faults, without storage', () => {
    expect(setUp({}, 0)[direction](thousand)).toEqual(thousand)
  })

  it('loses what it says it loses', () => {
    const test = setUp({ [direction]: { loss: 0.1 } }, 0)
    const out = test[direction](thousand)
    expect(1000 - out.length).toBe(test.device[direction].lost)
    expect(test.device[direction].lost).toBeGreaterThan(60)
    expect(test.device[direction].lost).toBeLessThan(140)
    expect(out.every((packet) => checkPacket(packet).length === 0)).toBe(true)
    expect(ids(out)).toEqual(ids(out).toSorted((a, b) => a - b))
  })

  it('loses all, and nothing, at the ends of the scale', () => {
    expect(setUp({ [direction]: { loss: 1 } }, 0)[direction](thousand)).toEqual([])
    expect(setUp({ [direction]: { loss: 0 } }, 0)[direction](thousand)).toEqual(thousand)
  })

  it('duplicates: the copy follows, equal and whole', () => {
    const test = setUp({ [direction]: { duplicate: 0.3 } })
    const out = test[direction](thousand)
    expect(out.length).toBe(1000 + test.device[direction].duplicated)
    expect(test.device[direction].duplicated).toBeGreaterThan(200)
    expect(test.device[direction].spared).toBe(0)
    expect(new Set(ids(out)).size).toBe(1000)
    for (const packet of out) expect(packet).toEqual(thousand[idOf(packet)])
    expect(ids(out)).toEqual(ids(out).toSorted((a, b) => a - b))
  })

  it('duplicates every packet even when batches are full', () => {
    const test = setUp({ [direction]: { duplicate: 1 } }, 64)
    const out = test[direction](thousand)
    expect(ids(out)).toEqual(ids(thousand).flatMap((id) => [id, id]))
  })

  it('holds back by as many packets as asked, and loses none but those still held', () => {
    const test = setUp({ [direction]: { reorder: 0.05, reorderBy: 5 } })
    const out = test[direction](thousand)
    const { reordered, spared } = test.device[direction]
    expect(reordered).toBeGreaterThan(20)
    expect(spared).toBe(0)
    const missing = 1000 - out.length
    expect(missing).toBeLessThanOrEqual(5)
    expect(new Set(ids(out)).size).toBe(out.length)
    for (const packet of out) expect(packet).toEqual(thousand[idOf(packet)])
    const order = ids(out)
    const late = order.filter((id, place) => order.slice(0, place).some((before) => before > id))
    expect(late.length).toBe(reordered - missing)
    for (const id of late) {
      const overtakers = order.slice(0, order.indexOf(id)).filter((before) => before > id)
      expect(overtakers.length).toBeGreaterThanOrEqual(5)
      expect(overtakers.length).toBeLessThanOrEqual(10)
    }
  })

  it('passes packets unharmed when its storage is used up', () => {
    const test = setUp({ [direction]: { duplicate: 1, reorder: 1, reorderBy: 100 } }, 2)
    const out = test[direction](thousand.slice(0, 10))
    expect(test.device[direction].spared).toBeGreaterThan(0)
    expect(new Set(ids(out)).size).toBeGreaterThanOrEqual(9)
  })

  it('flips one bit behind the IPv4 header, which the receiver can find', () => {
    const test = setUp({ [direction]: { corrupt: 1 } }, 0)
    const out = test[direction](thousand)
    expect(test.device[direction].corrupted).toBe(1000)
    for (const [id, packet] of out.entries()) {
      const flipped = packet.reduce((bits, byte, i) => bits + (byte ^ thousand[id]![i]!).toString(2).replaceAll('0', '').length, 0)
      expect(flipped).toBe(1)
      expect(packet.subarray(0, 20)).toEqual(thousand[id]!.subarray(0, 20))
      expect(checkPacket(packet)).not.toEqual([])
    }
    expect(new Set(out.map((packet) => packet.findIndex((byte, i) => byte !== thousand[idOf(packet)]![i]))).size).toBeGreaterThan(8)
  })

  it('does the same again with the same seed, and not with another', () => {
    const rates = { loss: 0.1, duplicate: 0.1, corrupt: 0.1, reorder: 0.1 }
    const once = setUp({ [direction]: rates }, 16, 42)[direction](thousand)
    expect(setUp({ [direction]: rates }, 16, 42)[direction](thousand)).toEqual(once)
    expect(setUp({ [direction]: rates }, 16, 43)[direction](thousand)).not.toEqual(once)
  })

  it('keeps to the capacity of the batch, however small', () => {
    for (const capacity of [1, 2, 3, 5]) {
      const test = setUp({ [direction]: { duplicate: 0.5, reorder: 0.5, reorderBy: 2 } }, 8, 7, capacity)
      const out = test[direction](thousand)
      expect(new Set(ids(out)).size).toBeGreaterThanOrEqual(996)
      for (const packet of out) expect(packet).toEqual(thousand[idOf(packet)])
    }
  })
})

describe('fault device', () => {
  it('treats the directions apart', () => {
    const test = setUp({ incoming: { loss: 1 } }, 0)
    expect(test.incoming(thousand)).toEqual([])
    expect(test.outgoing(thousand)).toEqual(thousand)
  })

  it('finishes an unfinished checksum before it flips a bit', () => {
    const test = setUp({ incoming: { corrupt: 1 } }, 0)
    const packet = buildTcp({ ...FLOW, payload: new Uint8Array(100).fill(7) })
    const partial = packet.slice()
    const view = new DataView(partial.buffer)
    view.setUint16(36, checksum.pseudoHeader(ipv4.source(view, 0), ipv4.destination(view, 0), 6, 120))
    test.inner.push(partial, { flags: vnet.F_NEEDS_CSUM, checksumStart: 20, checksumOffset: 16 })
    test.device.receive(test.slab, test.region, test.batch)
    const at = test.batch.at[0]!
    expect(vnet.flags(test.slab.view, at - vnet.LENGTH)).toBe(0)
    const out = test.slab.bytes.slice(at, at + packet.length)
    const different = out.map((byte, i) => byte ^ packet[i]!).filter((bits) => bits !== 0)
    expect(different.length).toBe(1)
    expect(checkPacket(out)).not.toEqual([])
  })

  it('has a verified checksum verified again', () => {
    const test = setUp({ incoming: { corrupt: 1 } }, 0)
    test.inner.push(numbered(1), { flags: vnet.F_DATA_VALID })
    test.device.receive(test.slab, test.region, test.batch)
    expect(vnet.flags(test.slab.view, test.batch.at[0]! - vnet.LENGTH)).toBe(0)
  })

  it('spares superpackets, and packets without a payload', () => {
    const test = setUp({ incoming: { corrupt: 1 } }, 0)
    const large = buildTcp({ ...FLOW, payload: new Uint8Array(3000) })
    expect(test.incoming([large], SUPERPACKET)).toEqual([large])
    expect(test.incoming([large.slice(0, 20), large.slice(0, 7)])).toEqual([large.slice(0, 20), large.slice(0, 7)])
    expect(test.device.incoming).toMatchObject({ corrupted: 0, spared: 3 })
  })

  it('keeps the virtio header and the neighbour of copies and held packets', () => {
    const test = setUp({ outgoing: { duplicate: 1 } })
    const source = new MemoryDevice()
    const header = { ...SUPERPACKET, headerLength: 40 }
    source.push(buildTcp({ ...FLOW, payload: new Uint8Array(60000) }), header)
    source.receive(test.slab, test.region, test.batch)
    test.batch.link[0] = 3
    test.device.send(test.slab, test.batch)
    const [first, second] = test.inner.takeSent()
    expect(first).toEqual(second)
    expect(first).toMatchObject({ vnet: header, link: 3 })
  })

  it('does nothing outside its storage', () => {
    const test = setUp({ incoming: { duplicate: 0.5, reorder: 0.5 } }, 4)
    test.slab.bytes.fill(0xee, PACKETS)
    test.incoming(Array.from({ length: 50 }, () => new Uint8Array(65535).fill(1)))
    expect(test.slab.bytes.subarray(PACKETS + 4 * FAULT_SLOT).every((byte) => byte === 0xee)).toBe(true)
    expect(test.slab.bytes.subarray(PACKETS + 2 * FAULT_SLOT, PACKETS + 4 * FAULT_SLOT).every((byte) => byte === 0xee)).toBe(true)
  })

  it('shows the wrapped device: name, offloads, counters, errors, close', () => {
    const test = setUp({ incoming: { loss: 0.5 }, outgoing: { loss: 0.5 } })
    expect([test.device.name, test.device.fd, test.device.offloads]).toEqual([test.inner.name, test.inner.fd, test.inner.offloads])
    expect(test.device.counters).toBe(test.inner.counters)
    test.inner.vanish(19)
    expect(test.device.receive(test.slab, test.region, test.batch)).toBe(-19)
    expect(test.batch.count).toBe(0)
    test.device.close()
    expect(test.device.receive(test.slab, test.region, test.batch)).toBe(-77)
  })

  it('refuses what is no probability, and storage that is too small', () => {
    for (const loss of [-0.1, 1.1, Number.NaN]) {
      expect(() => setUp({ incoming: { loss } })).toThrow(expect.objectContaining({ code: 'FAULT_RATE' }))
    }
    expect(() => setUp({ outgoing: { reorder: 0.1 } }, 1)).toThrow(expect.objectContaining({ code: 'FAULT_STORAGE' }))
  })
})
