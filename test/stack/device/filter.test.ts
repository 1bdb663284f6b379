import { describe, expect, it } from 'vitest'
import { parsePool } from '../../../src/nat/pool.js'
import { wanFilter } from '../../../src/stack/device/filter.js'
import { ip } from '../../stack/support.js'

/** Runs a program as the kernel does, for an IPv4 packet to a destination; what it needs of classic BPF. */
const accepts = (program: Uint8Array, destination: number): boolean => {
  const view = new DataView(program.buffer)
  let accumulator = 0
  for (let at = 0; ; at++) {
    const code = view.getUint16(at * 8, true)
    const jump = (taken: boolean): number => view.getUint8(at * 8 + (taken ? 2 : 3))
    const k = view.getUint32(at * 8 + 4, true)
    if (code === 0x06) return k !== 0
    // Packet type, ethertype, destination.
    else if (code === 0x28) accumulator = k === 0xfffff000 ? 0x0800 : 0
    else if (code === 0x20) accumulator = destination >>> 0
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0
    else if (code === 0x05) at += k
    else if (code === 0x15) at += jump(accumulator === k)
    else if (code === 0x35) at += jump(accumulator >= k)
    else throw new Error(`instruction ${code} is not known here`)
  }
}

const heard = (addresses: readonly number[]): Uint8Array => wanFilter({ addresses, ports: null, pings: true, protocols: null, arp: true })

describe('what the WAN hears for addresses that are tsnat\'s alone', () => {
  it('all that goes to them, ranges and networks, nothing else', () => {
    const pool = parsePool('203.0.113.1,203.0.113.9-203.0.113.12,198.18.0.0/30,10.0.0.255')!
    const program = heard(pool)
    for (const address of pool) {
      for (const near of [-1, 0, 1]) expect(accepts(program, address + near)).toBe(pool.includes((address + near) | 0))
    }
    for (const other of ['0.0.0.0', '127.0.0.1', '128.0.0.0', '255.255.255.255', '203.0.113.5']) expect(accepts(program, ip(other))).toBe(false)
  })

  it('CGN-3: of very many pieces, those that are near each other are one', () => {
    const pool = Array.from({ length: 5000 }, (_, index) => (ip('198.18.0.0') + index * 4 + (index > 2500 ? 100_000 : 0)) | 0)
    const program = heard(pool)
    expect(program.length / 8).toBeLessThan(512)
    for (const address of pool) expect(accepts(program, address)).toBe(true)
    for (const other of [pool[0]! - 1, pool[2500]! + 50_000, pool[4999]! + 1]) expect(accepts(program, other)).toBe(false)
  })

  it('one /16, in a handful of instructions', () => {
    const program = heard(parsePool('198.18.0.0/16')!)
    expect(program.length / 8).toBeLessThan(20)
    expect([ip('198.17.255.255'), ip('198.18.0.0'), ip('198.18.255.255'), ip('198.19.0.0')].map((one) => accepts(program, one))).toEqual([false, true, true, false])
  })

  it('nothing while there is none', () => {
    expect(accepts(heard([]), ip('203.0.113.1'))).toBe(false)
  })
})
