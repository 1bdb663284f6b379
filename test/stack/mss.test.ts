import { describe, expect, it } from 'vitest'
import { clampMss } from '../../src/stack/mss.js'
import { SYN } from '../../src/stack/wire/tcp.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildFragments, buildTcp, mssOption } from '../../src/testing/packets.js'
import { A, B, bytesOf, E, P, parsed, taken, unfinish } from './support.js'

const ENDS = { source: A, destination: P, sourcePort: 5000, destinationPort: 80, flags: SYN }
const syn = (...options: number[]): Uint8Array => buildTcp({ ...ENDS, options: Uint8Array.from(options) })
const clamped = (bytes: Uint8Array, mss: number): Uint8Array => {
  const { slab, packet } = parsed(bytes)
  clampMss(slab.view, packet, mss)
  return taken(slab, bytes.length)
}

describe('MSS clamp', () => {
  it('PMTU-3: lowers the MSS', () => {
    expect(clamped(syn(2, 4, 5, 180), 1360)).toEqual(syn(2, 4, 1360 >> 8, 1360 & 255))
    expect(clamped(syn(4, 2, 2, 4, 0xff, 0xff, 1, 1), 1360)).toEqual(syn(4, 2, 2, 4, 1360 >> 8, 1360 & 255, 1, 1))
  })

  it('PMTU-3: never raises it', () => {
    for (const mss of [0, 536, 1200, 1359, 1360]) expect(clamped(syn(2, 4, mss >> 8, mss & 255), 1360)).toEqual(syn(2, 4, mss >> 8, mss & 255))
  })

  it('CSUM-6: at an odd offset', () => {
    for (let nops = 1; nops < 8; nops++) {
      const before = new Array<number>(nops).fill(1)
      const out = clamped(syn(...before, 2, 4, 0x23, 0x45, 1), 1360)
      expect(out).toEqual(syn(...before, 2, 4, 1360 >> 8, 1360 & 255, 1))
      expect(checkPacket(out)).toEqual([])
    }
  })

  it('leaves alone what has no MSS option, or a malformed one', () => {
    for (const options of [[], [1, 1, 1, 1], [3, 3, 7, 0], [0, 2, 4, 255, 255], [2, 3, 255, 0], [2, 0, 255, 255], [2, 99, 255, 255], [1, 1, 1, 2]]) {
      expect(clamped(syn(...options), 1360)).toEqual(syn(...options))
    }
    // Long enough, yet not the length that the option has.
    expect(clamped(syn(2, 6, 255, 255, 0, 0, 0, 0), 1360)).toEqual(syn(2, 6, 255, 255, 0, 0, 0, 0))
  })

  it('CSUM-8: leaves an unfinished checksum as it is', () => {
    const { bytes, vnet } = unfinish(syn(2, 4, 5, 180))
    const { slab, packet } = parsed(bytes, vnet)
    clampMss(slab.view, packet, 1000)
    const out = taken(slab, bytes.length)
    expect(checkPacket(out, vnet)).toEqual([])
    expect(out.subarray(36, 38)).toEqual(bytes.subarray(36, 38))
    expect([...out.subarray(40)]).toEqual([2, 4, 1000 >> 8, 1000 & 255])
  })

  it('does not look behind the end of a first fragment', () => {
    const options = [...new Array<number>(36).fill(1), 2, 4, 255, 255]
    const whole = buildTcp({ ...ENDS, options: Uint8Array.from(options), payload: bytesOf(60) })
    const first = buildFragments(whole, 76)[0]!
    expect(first.length).toBe(76)
    expect(clamped(first, 1000)).toEqual(first)
  })

  it('takes the smaller MTU of both sides, in both directions', () => {
    for (const [lanMtu, wanMtu] of [[1500, 1400], [1400, 1500]] as const) {
      const gateway = new MemoryGateway({ lanMtu, wanMtu })
      gateway.fromLan(syn(2, 4, 5, 180))
      expect([...gateway.toWan()[0]!.bytes.subarray(40)]).toEqual([2, 4, 1360 >> 8, 1360 & 255])
      const back = { source: P, destination: E, sourcePort: 80, destinationPort: 5000, flags: SYN | 0x10 }
      gateway.fromWan(buildTcp({ ...back, options: mssOption(9000) }))
      expect([...gateway.toLan()[0]!.bytes.subarray(40)]).toEqual([2, 4, 1360 >> 8, 1360 & 255])
    }
  })

  it('can be switched off, and touches SYNs only', () => {
    const off = new MemoryGateway({ wanMtu: 1400, mssClamp: false })
    off.fromLan(syn(2, 4, 5, 180))
    expect([...off.toWan()[0]!.bytes.subarray(40)]).toEqual([2, 4, 5, 180])
    const on = new MemoryGateway({ wanMtu: 1400 })
    on.fromLan(buildTcp({ ...ENDS, source: B }))
    on.toWan()
    on.fromLan(buildTcp({ ...ENDS, source: B, flags: 0x10, options: mssOption(1460) }))
    expect([...on.toWan()[0]!.bytes.subarray(40)]).toEqual([2, 4, 5, 180])
  })
})
