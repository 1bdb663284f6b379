import { describe, expect, it } from 'vitest'
import { Drop } from '../../src/drop.js'
import { NO_OFFLOADS, type Offloads } from '../../src/stack/device/device.js'
import { MemoryDevice } from '../../src/stack/device/memory.js'
import { Egress } from '../../src/stack/egress.js'
import { Scratch } from '../../src/stack/scratch.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, AT, bytesOf, inSlab, NOTHING, P, superpacket, unfinish } from './support.js'

const ENDS = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
const ALL: Offloads = { checksum: true, tcp: true, udp: true }
const TCP = superpacket(buildTcp({ ...ENDS, payload: bytesOf(5000) }), 1000)
const UDP = superpacket(buildUdp({ ...ENDS, payload: bytesOf(5000) }), 1000)

const setUp = (packet: { bytes: Uint8Array; vnet: object }, offloads: Offloads, capacity = 512, room = 400 << 10) => {
  const slab = inSlab(packet.bytes, packet.vnet, 512 << 10)
  const device = new MemoryDevice({ offloads })
  const egress = new Egress(slab, device, new Scratch({ start: 80 << 10, end: (80 << 10) + room }), capacity)
  const push = (): number => egress.push(AT, packet.bytes.length, 5)
  const sent = (): { bytes: Uint8Array; vnet: object; link: number }[] => {
    egress.flush()
    return device.takeSent()
  }
  return { egress, push, sent, device }
}

describe('egress', () => {
  it('passes a finished packet as it is', () => {
    const plain = { bytes: buildUdp({ ...ENDS, payload: bytesOf(9) }), vnet: NOTHING }
    for (const offloads of [ALL, NO_OFFLOADS]) {
      const { egress, push, sent } = setUp(plain, offloads)
      expect(push()).toBe(0)
      expect(sent()).toEqual([{ bytes: plain.bytes, vnet: NOTHING, link: 5 }])
      expect([egress.packets, egress.bytes]).toEqual([1, plain.bytes.length])
    }
  })

  it('passes superpackets to a device that takes them', () => {
    for (const packet of [TCP, UDP]) {
      const { push, sent } = setUp(packet, ALL)
      push()
      expect(sent()).toEqual([{ ...packet, link: 5 }])
    }
  })

  it('cuts what the device does not take', () => {
    const some = [[TCP, { ...ALL, tcp: false }], [UDP, { ...ALL, udp: false }], [TCP, NO_OFFLOADS], [UDP, NO_OFFLOADS]] as const
    for (const [packet, offloads] of some) {
      const { push, sent } = setUp(packet, offloads)
      expect(push()).toBe(0)
      const found = sent()
      expect(found).toHaveLength(5)
      for (const { bytes, vnet, link } of found) {
        expect(checkPacket(bytes)).toEqual([])
        expect(vnet).toEqual(NOTHING)
        expect(link).toBe(5)
      }
    }
  })

  it('completes checksums for a device that does not', () => {
    const plain = buildTcp({ ...ENDS, payload: bytesOf(99) })
    const { push, sent } = setUp(unfinish(plain), NO_OFFLOADS)
    push()
    expect(sent()).toEqual([{ bytes: plain, vnet: NOTHING, link: 5 }])
    const kept = setUp(unfinish(plain), ALL)
    kept.push()
    expect(kept.sent()[0]!.vnet).toEqual(unfinish(plain).vnet)
  })

  it('sends a full batch on its own', () => {
    const { push, sent, device } = setUp({ bytes: buildUdp(ENDS), vnet: NOTHING }, ALL, 3)
    for (let n = 0; n < 7; n++) push()
    expect(device.sent).toHaveLength(6)
    expect(sent()).toHaveLength(7)
  })

  it('cuts more segments than a batch holds', () => {
    const many = superpacket(buildTcp({ ...ENDS, payload: bytesOf(5000) }), 10)
    for (const capacity of [1, 7, 499, 500, 512]) {
      const { push, sent } = setUp(many, NO_OFFLOADS, capacity)
      expect(push()).toBe(0)
      const found = sent()
      expect(found).toHaveLength(500)
      expect(found.every(({ bytes }) => checkPacket(bytes).length === 0)).toBe(true)
    }
  })

  it('fragments a superpacket segment by segment, more of them than a batch holds', () => {
    const packet = superpacket(buildUdp({ ...ENDS, payload: bytesOf(6000) }), 600)
    for (const capacity of [4, 512]) {
      const { egress, sent } = setUp(packet, ALL, capacity)
      expect(egress.pushFragmented(AT, packet.bytes.length, 576, 5)).toBe(0)
      const found = sent()
      expect(found.map(({ bytes }) => bytes.length)).toEqual(new Array(10).fill([572, 76]).flat())
      expect(found.flatMap(({ bytes }) => checkPacket(bytes))).toEqual([])
    }
  })

  it('says when the scratch region is used up', () => {
    for (const [packet, room] of [[TCP, 3000], [TCP, 6000]] as const) {
      const { egress, push } = setUp(packet, NO_OFFLOADS, 512, room)
      if (room < 6000) expect(push()).toBe(Drop['scratch-full'])
      expect(egress.pushFragmented(AT, packet.bytes.length, 576, 5)).toBe(Drop['scratch-full'])
    }
    const plain = { bytes: buildUdp({ ...ENDS, payload: bytesOf(3000) }), vnet: NOTHING }
    expect(setUp(plain, ALL, 512, 1000).egress.pushFragmented(AT, plain.bytes.length, 576, 5)).toBe(Drop['scratch-full'])
  })
})
