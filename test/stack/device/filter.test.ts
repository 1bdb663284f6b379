import { describe, expect, it } from 'vitest'
import { parsePool } from '../../../src/nat/pool.js'
import { wanFilter } from '../../../src/stack/device/filter.js'
import { ip } from '../../stack/support.js'

interface Heard {
  readonly protocol: number
  /** 16-bit words behind the IPv4 header. */
  readonly payload: readonly number[]
}

/** Runs a program as the kernel does, for an IPv4 packet to a destination; what it needs of classic BPF. */
const accepts = (program: Uint8Array, destination: number, { protocol, payload }: Heard = { protocol: 17, payload: [] }): boolean => {
  const view = new DataView(program.buffer)
  let accumulator = 0
  for (let at = 0; ; at++) {
    const code = view.getUint16(at * 8, true)
    const jump = (taken: boolean): number => view.getUint8(at * 8 + (taken ? 2 : 3))
    const k = view.getUint32(at * 8 + 4, true)
    if (code === 0x06) return k !== 0
    // Packet type, ethertype, destination.
    else if (code === 0x28) accumulator = k === 0xfffff000 ? 0x0800 : 0
    else if (code === 0x30) accumulator = k === IP + 9 ? protocol : 0x45
    else if (code === 0x48) accumulator = payload[(k - IP) / 2]!
    else if (code === 0x45) at += jump((accumulator & k) !== 0)
    else if (code === 0x64) accumulator <<= k
    else if (code === 0x07) continue
    else if (code === 0x20) accumulator = destination >>> 0
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0
    else if (code === 0x05) at += k
    else if (code === 0x15) at += jump(accumulator === k)
    else if (code === 0x35) at += jump(accumulator >= k)
    else throw new Error(`instruction ${code} is not known here`)
  }
}

/** Where the IPv4 header begins. */
const IP = 0xfff00000

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

describe('what the WAN hears for an address that it shares with the host', () => {
  const own = ip('203.0.113.1')
  const program = wanFilter({ addresses: [own], ports: [[1000, 1999], [5000, 5000]], pings: false, protocols: [], arp: false })
  const isHeard = (protocol: number, ...payload: readonly number[]): boolean => accepts(program, own, { protocol, payload })

  it('packets to its ports, not those to the host\'s', () => {
    for (const protocol of [6, 17, 132, 136]) {
      expect([999, 1000, 1999, 2000, 5000].map((port) => isHeard(protocol, 40000, port))).toEqual([false, true, true, false, true])
    }
  })

  it('answers to its pings, not those to the host\'s', () => {
    expect([999, 1000, 1999, 2000, 5000].map((identifier) => isHeard(1, 0, 0, identifier))).toEqual([false, true, true, false, true])
  })

  it('no pings, but other ICMP', () => {
    expect([0x0800, 0x0301, 0x0b00, 0x0e00].map((type) => isHeard(1, type, 0, 1))).toEqual([false, true, true, true])
  })
})
