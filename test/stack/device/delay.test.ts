import { describe, expect, it } from 'vitest'
import { Batch, createSlab } from '../../../src/stack/batch.js'
import { DelayDevice } from '../../../src/stack/device/delay.js'
import { MemoryDevice } from '../../../src/stack/device/memory.js'
import * as vnet from '../../../src/stack/wire/vnet.js'
import { buildUdp } from '../../../src/testing/packets.js'
import { FakeClock } from '../../../src/testing/clock.js'

const FLOW = { source: '10.0.0.2', destination: '198.51.100.10', sourcePort: 5000, destinationPort: 80 }
const PACKETS = 1 << 20
const STORAGE = 1 << 19
const CAPACITY = 16

const numbered = (id: number, length = 4): Uint8Array => buildUdp({ ...FLOW, id, payload: new Uint8Array(length).fill(id) })

const setUp = (delays: { incoming?: number; outgoing?: number }, bytes = STORAGE) => {
  const storage = { start: PACKETS, end: PACKETS + bytes }
  const slab = createSlab(storage.end + 64)
  const inner = new MemoryDevice()
  const clock = new FakeClock()
  const device = new DelayDevice(inner, { ...delays, now: clock.milliseconds, storage })
  const batch = new Batch(CAPACITY)

  /** What comes out now; each packet is overwritten once read, as a pipeline may. */
  const received = (): Uint8Array[] => {
    device.receive(slab, { start: 0, end: PACKETS }, batch)
    return Array.from({ length: batch.count }, (_, index) => {
      const at = batch.at[index]!
      const bytes = slab.bytes.slice(at, at + batch.length[index]!)
      slab.bytes.fill(0, at - vnet.LENGTH, at + batch.length[index]!)
      return bytes
    })
  }
  /** Sends these, and tells what leaves now. */
  const send = (packets: readonly Uint8Array[]): Uint8Array[] => {
    const source = new MemoryDevice()
    for (const packet of packets) source.push(packet)
    do {
      source.receive(slab, { start: 0, end: PACKETS }, batch)
      device.send(slab, batch)
      expect(batch.count).toBe(0)
    } while (source.pending > 0)
    return inner.takeSent().map(({ bytes }) => bytes)
  }
  return { device, inner, clock, slab, batch, received, send }
}

describe('delay device', () => {
  it('passes on at once, without storage, when there is no delay', () => {
    const test = setUp({}, 0)
    test.inner.push(numbered(1))
    expect(test.received()).toEqual([numbered(1)])
    expect(test.send([numbered(2)])).toEqual([numbered(2)])
    expect(test.device.next).toBe(Infinity)
  })

  it('lets packets that come wait, in order, each its own time', () => {
    const test = setUp({ incoming: 50 })
    const start = test.clock.milliseconds()
    test.inner.push(numbered(1))
    expect(test.received()).toEqual([])
    test.clock.advanceMilliseconds(20)
    test.inner.push(numbered(2))
    test.inner.push(numbered(3))
    expect(test.received()).toEqual([])
    expect(test.device.next).toBe(start + 50)
    test.clock.advanceMilliseconds(29.5)
    expect(test.received()).toEqual([])
    test.clock.advanceMilliseconds(0.5)
    expect(test.received()).toEqual([numbered(1)])
    expect(test.device.next).toBe(start + 70)
    expect(test.device.incoming.held).toBe(2)
    test.clock.advanceMilliseconds(20)
    expect(test.received()).toEqual([numbered(2), numbered(3)])
    expect(test.device.next).toBe(Infinity)
  })

  it('lets packets that go wait; an empty batch sends what is due', () => {
    const test = setUp({ outgoing: 25 })
    const start = test.clock.milliseconds()
    expect(test.send([numbered(1), numbered(2)])).toEqual([])
    expect(test.device.next).toBe(start + 25)
    test.clock.advanceMilliseconds(24)
    expect(test.send([numbered(3)])).toEqual([])
    test.clock.advanceMilliseconds(1)
    expect(test.send([])).toEqual([numbered(1), numbered(2)])
    test.clock.advanceMilliseconds(24)
    expect(test.send([])).toEqual([numbered(3)])
  })

  it('passes on more than a batch holds, batch by batch', () => {
    const test = setUp({ incoming: 10, outgoing: 10 })
    const packets = Array.from({ length: 3 * CAPACITY + 1 }, (_, id) => numbered(id))
    for (const packet of packets) test.inner.push(packet)
    while (test.inner.pending > 0) expect(test.received()).toEqual([])
    expect(test.send(packets)).toEqual([])
    test.clock.advanceMilliseconds(10)
    expect(test.send([])).toEqual(packets)
    const out = []
    for (let part = test.received(); part.length > 0; part = test.received()) out.push(...part)
    expect(out).toEqual(packets)
  })

  it('keeps to the limit of the batch', () => {
    const test = setUp({ incoming: 10 })
    for (let id = 0; id < 3; id++) test.inner.push(numbered(id))
    test.received()
    test.clock.advanceMilliseconds(10)
    test.batch.limit = 1
    expect(test.received()).toEqual([numbered(0)])
    test.batch.limit = CAPACITY
    expect(test.received()).toEqual([numbered(1), numbered(2)])
  })

  it('keeps the virtio header and the neighbour', () => {
    const test = setUp({ outgoing: 10 })
    const header = { flags: vnet.F_NEEDS_CSUM, gsoType: vnet.GSO_TCPV4, headerLength: 40, gsoSize: 1460, checksumStart: 20, checksumOffset: 16 }
    const source = new MemoryDevice()
    source.push(numbered(1, 60_000), header)
    source.receive(test.slab, { start: 0, end: PACKETS }, test.batch)
    test.batch.link[0] = 3
    test.device.send(test.slab, test.batch)
    test.clock.advanceMilliseconds(10)
    test.device.send(test.slab, test.batch)
    expect(test.inner.takeSent()).toEqual([{ bytes: numbered(1, 60_000), vnet: header, link: 3 }])
  })

  it('loses what finds no room, and nothing else, around the ring again and again', () => {
    const test = setUp({ incoming: 20 })
    const expected: Uint8Array[][] = []
    const out: Uint8Array[][] = []
    for (let turn = 0; turn < 400; turn++) {
      const { lost } = test.device.incoming
      const packet = numbered(turn, (turn * 7919) % 65_000)
      test.inner.push(packet)
      const due = test.received()
      if (due.length > 0) out.push(due)
      if (test.device.incoming.lost === lost) expected.push([packet])
      test.clock.advanceMilliseconds(1)
    }
    expect(test.device.incoming.lost).toBeGreaterThan(0)
    expect(out.length).toBeGreaterThan(200)
    expect(out.flat()).toEqual(expected.flat().slice(0, out.flat().length))
    expect(test.device.incoming.held).toBe(expected.length - out.flat().length)
  })

  it('does nothing outside its storage', () => {
    const test = setUp({ incoming: 5, outgoing: 5 })
    test.slab.bytes.fill(0xee, PACKETS + STORAGE)
    for (let turn = 0; turn < 100; turn++) {
      test.inner.push(numbered(1, 60_000))
      test.received()
      test.send([numbered(2, 60_000)])
      test.clock.advanceMilliseconds(1)
    }
    expect(test.slab.bytes.subarray(PACKETS + STORAGE).every((byte) => byte === 0xee)).toBe(true)
  })

  it('shows the wrapped device: name, offloads, counters, errors, close', () => {
    const test = setUp({ incoming: 1 })
    expect([test.device.name, test.device.fd, test.device.offloads]).toEqual([test.inner.name, test.inner.fd, test.inner.offloads])
    expect(test.device.counters).toBe(test.inner.counters)
    test.inner.vanish(19)
    expect(test.device.receive(test.slab, { start: 0, end: PACKETS }, test.batch)).toBe(-19)
    test.device.close()
    expect(test.device.receive(test.slab, { start: 0, end: PACKETS }, test.batch)).toBe(-77)
  })

  it('refuses what is no time, and storage that is too small', () => {
    for (const incoming of [-1, Number.NaN, Infinity]) expect(() => setUp({ incoming })).toThrow(expect.objectContaining({ code: 'DELAY_TIME' }))
    expect(() => setUp({ outgoing: 5 }, 1 << 16)).toThrow(expect.objectContaining({ code: 'DELAY_STORAGE' }))
  })
})
