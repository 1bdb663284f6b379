import { describe, expect, it } from 'vitest'
import { parseForward } from '../../src/forward-text.js'
import { type Forward, Forwards } from '../../src/nat/forwards.js'
import { A, B, E, ip, P, Q } from '../stack/support.js'

const list = (...texts: string[]): Forward[] =>
  texts.map((text) => {
    const forward = parseForward(text)
    if (forward === null) throw new Error(text)
    return forward
  })
const OTHER = '203.0.113.2'

describe('forwards', () => {
  const find = (forwards: Forwards, protocol: number, external: string, port: number, sender = P): string | null =>
    forwards.find(protocol, ip(external), port, ip(sender)) ? `${forwards.address >>> 0}:${forwards.port}` : null
  const at = (address: string, port: number): string => `${ip(address) >>> 0}:${port}`

  it('lead a port to a host, by protocol, on every outside address', () => {
    const forwards = new Forwards(list(`tcp:8080:${A}:80`))
    expect(find(forwards, 6, E, 8080)).toBe(at(A, 80))
    expect(find(forwards, 6, OTHER, 8080)).toBe(at(A, 80))
    expect(find(forwards, 17, E, 8080)).toBeNull()
    expect([8079, 8081, 80].map((port) => find(forwards, 6, E, port))).toEqual([null, null, null])
  })

  it('lead a range to a range', () => {
    const forwards = new Forwards(list(`udp:5000-5010:${A}:6000`))
    expect(find(forwards, 17, E, 5000)).toBe(at(A, 6000))
    expect(find(forwards, 17, E, 5010)).toBe(at(A, 6010))
    expect(find(forwards, 17, E, 5011)).toBeNull()
    expect(find(forwards, 17, E, 4999)).toBeNull()
  })

  it('are for senders of a prefix; the first that fits counts', () => {
    const forwards = new Forwards(list(`tcp:80:${A}:80@${P}/32`, `tcp:80:${B}:81@198.51.100.0/24`))
    expect(find(forwards, 6, E, 80, P)).toBe(at(A, 80))
    expect(find(forwards, 6, E, 80, Q)).toBe(at(B, 81))
    expect(find(forwards, 6, E, 80, '198.51.101.1')).toBeNull()
    // Nobody else may have the port, all the same.
    expect(forwards.has(6, ip(E), 80)).toBe(true)
  })

  it('can be for one outside address', () => {
    const forwards = new Forwards(list(`tcp:80:${A}:80`).map((forward) => ({ ...forward, external: ip(E) })))
    expect(find(forwards, 6, E, 80)).toBe(at(A, 80))
    expect(find(forwards, 6, OTHER, 80)).toBeNull()
    expect([forwards.has(6, ip(E), 80), forwards.has(6, ip(OTHER), 80)]).toEqual([true, false])
  })

  it('can be set anew', () => {
    const forwards = new Forwards(list(`tcp:80:${A}:80`))
    forwards.replace(list(`tcp:81:${A}:80`))
    expect([80, 81].map((port) => find(forwards, 6, E, port))).toEqual([null, at(A, 80)])
    expect([80, 81].map((port) => forwards.has(6, ip(E), port))).toEqual([false, true])
  })
})

describe('what a forwarded host sends on its own', () => {
  const inside = (forwards: Forwards, protocol: number, host: string, port: number, remote = P): number | null =>
    forwards.findInside(protocol, ip(host), port, ip(E), ip(remote)) ? forwards.outsidePort : null

  it('leaves from the outside port, towards those who may use it', () => {
    const forwards = new Forwards(list(`tcp:8080-8082:${A}:80`, `udp:9000:${A}:90@198.51.100.0/24`))
    expect([79, 80, 81, 82, 83].map((port) => inside(forwards, 6, A, port))).toEqual([null, 8080, 8081, 8082, null])
    expect([inside(forwards, 6, B, 80), inside(forwards, 17, A, 80)]).toEqual([null, null])
    expect([inside(forwards, 17, A, 90), inside(forwards, 17, A, 90, '198.51.101.1')]).toEqual([9000, null])
  })

  it('is not told by ICMP identifiers, which are nobody\'s', () => {
    const forwards = new Forwards(list(`icmp:${A}`, `esp:${A}`))
    expect(inside(forwards, 1, A, 8)).toBeNull()
    expect(forwards.has(1, ip(E), 8)).toBe(false)
    expect(inside(forwards, 50, A, 0)).toBe(0)
  })
})

describe('a forward as text', () => {
  it('says protocol, ports, host, its port, and for whom', () => {
    expect(parseForward(`tcp:8080:${A}:80`)).toEqual({ protocol: 6, external: null, firstPort: 8080, lastPort: 8080, address: ip(A), port: 80, from: 0, fromMask: 0 })
    expect(parseForward(`udp:1-65535:${A}:1@198.51.100.7/24`)).toEqual({
      protocol: 17, external: null, firstPort: 1, lastPort: 65535, address: ip(A), port: 1, from: ip('198.51.100.0'), fromMask: 0xffffff00 | 0,
    })
  })

  it('says of protocols without ports only the host, and for whom', () => {
    const whole = { external: null, firstPort: 0, lastPort: 0, address: ip(A), port: 0, from: 0, fromMask: 0 }
    expect(parseForward(`gre:${A}`)).toEqual({ ...whole, protocol: 47 })
    expect(parseForward(`esp:${A}`)).toEqual({ ...whole, protocol: 50 })
    expect(parseForward(`41:${A}@198.51.100.0/24`)).toEqual({ ...whole, protocol: 41, from: ip('198.51.100.0'), fromMask: 0xffffff00 | 0 })
    // Echo requests are what is forwarded of ICMP.
    expect(parseForward(`icmp:${A}`)).toEqual({ ...whole, protocol: 1, firstPort: 8, lastPort: 8, port: 8 })
    expect(parseForward(`1:${A}`)).toEqual(parseForward(`icmp:${A}`))
    expect(parseForward(`sctp:8080:${A}:80`)).toMatchObject({ protocol: 132, firstPort: 8080, port: 80 })
    expect(parseForward(`udplite:5-6:${A}:7`)).toMatchObject({ protocol: 136, firstPort: 5, lastPort: 6, port: 7 })
  })

  it.each([
    // With ports, by number; with an unknown name; AH, which nobody can forward.
    '6:10.0.0.2', '132:10.0.0.2', 'gre:1:10.0.0.2:1', '47:1:10.0.0.2:1', 'ah:10.0.0.2', '51:10.0.0.2', '256:10.0.0.2', 'ospf:10.0.0.2', 'esp:10.0.0', 'esp:10.0.0.2@9.9.9.9',
    '', 'tcp', 'icmp:80:10.0.0.2:80', 'TCP:80:10.0.0.2:80', 'tcp:0:10.0.0.2:80', 'tcp:80:10.0.0.2:0', 'tcp:65536:10.0.0.2:80', 'tcp:80:10.0.0.2:65536',
    'tcp:90-80:10.0.0.2:80', 'tcp:80-:10.0.0.2:80', 'tcp:80:10.0.0.256:80', 'tcp:80:10.0.0:80', 'tcp:80:10.0.0.2:80@1.2.3.4', 'tcp:80:10.0.0.2:80@1.2.3.4/33',
    'tcp:1-65535:10.0.0.2:2', 'tcp:80:10.0.0.2:80 ', 'tcp:80:10.0.0.2',
  ])('is refused: %j', (text) => {
    expect(parseForward(text)).toBeNull()
  })
})
