/** SOCK-2: initial sequence numbers (RFC 6528). */
import { describe, expect, it } from 'vitest'
import { Bed, type BedOptions } from './bed.js'

/** The number with which the stack opens a connection from port 40000. */
const opens = (options: BedOptions, port = 5000, address = '10.0.0.2'): number => {
  const bed = new Bed(options)
  const peer = bed.puppet({ port, address })
  bed.connect(peer, { localPort: 40_000 })
  peer.syn()
  return peer.stackFirst
}

/** The number with which the stack answers a SYN. */
const answers = (options: BedOptions, port = 5000): number => {
  const bed = new Bed(options)
  bed.listen(80)
  const peer = bed.puppet({ stackPort: 80, port })
  peer.open()
  return peer.stackFirst
}

const PORTS = Array.from({ length: 64 }, (_, index) => 5000 + index)

describe.each([['of a SYN', opens], ['of an answer to a SYN', answers]] as const)('the initial number %s', (_name, number) => {
  it('SOCK-2: rises by one in 4 µs for the same addresses and ports', () => {
    const first = number({ now: 1_000_000 })
    expect((number({ now: 1_000_001 }) - first) | 0).toBe(250)
    expect((number({ now: 1_060_000 }) - first) | 0).toBe(15_000_000)
  })

  it('SOCK-2: is unrelated for other ports', () => {
    const numbers = PORTS.map((port) => number({}, port))
    expect(new Set(numbers).size).toBe(PORTS.length)
    const steps = numbers.slice(1).map((one, index) => (one - numbers[index]!) | 0)
    expect(new Set(steps).size).toBe(steps.length)
    // They use all of the range: of 64 each quarter has some.
    expect(new Set(numbers.map((one) => one >>> 30)).size).toBe(4)
  })

  it('SOCK-2: is another one with another secret', () => {
    const secrets = [1, 2, 3].map((fill) => new Uint8Array(16).fill(fill))
    expect(new Set(secrets.map((secret) => number({ secret }))).size).toBe(3)
    expect(number({ secret: secrets[0]! })).toBe(number({ secret: secrets[0]! }))
  })

  it('SOCK-2: does not tell the secret random numbers of the stack', () => {
    expect(number({ seed: 5 })).toBe(number({ seed: 9 }))
  })
})

describe('the initial number of a SYN', () => {
  it('SOCK-2: is unrelated for other addresses', () => {
    const numbers = [2, 3, 4, 5].map((last) => opens({}, 5000, `10.0.0.${last}`))
    const steps = numbers.slice(1).map((one, index) => (one - numbers[index]!) | 0)
    expect(new Set(steps).size).toBe(steps.length)
  })
})
