import { describe, expect, it } from 'vitest'
import { checkPacket } from '../src/testing/check-packet.js'
import { buildFragments, buildIcmpEcho, buildTcp, buildUdp } from '../src/testing/packets.js'
import { FuzzPlane, type PlaneOptions } from './fuzz/plane.js'
import { A, bytesOf, E, from, NOTHING, only, P } from './stack/support.js'

const OPTIONS: PlaneOptions = {
  lanMtu: 1500, wanMtu: 1500, lanOffloads: { checksum: false, tcp: false, udp: false }, wanOffloads: { checksum: false, tcp: false, udp: false },
  neighbours: false, flows: 10, ports: [[1, 65535]], fragmentBytes: 65536, mssClamp: true, owned: true,
}
const setUp = (options: Partial<PlaneOptions> = {}) => {
  const gateway = new FuzzPlane({ ...OPTIONS, ...options }, 0)
  const send = (kind: 'lan' | 'wan', ...packets: Uint8Array[]): void => {
    expect(gateway.step({ kind, packets: packets.map((bytes) => ({ bytes: Buffer.from(bytes).toString('base64'), vnet: NOTHING })) })).toBe('')
  }
  return { gateway, send }
}
const PING = { source: P, destination: E, identifier: 7, sequence: 1, payload: bytesOf(56) }
const PONG = { source: E, destination: P, identifier: 7, sequence: 1, payload: bytesOf(56), reply: true }

describe('an address that no kernel has', () => {
  it('RTR-8: is pinged from outside', () => {
    const { gateway, send } = setUp()
    send('wan', buildIcmpEcho(PING))
    expect(only(gateway.take().wan)).toEqual(buildIcmpEcho(PONG))
    expect(gateway.plane.table.count).toBe(0)
  })

  it('also in fragments', () => {
    const { gateway, send } = setUp()
    const pieces = buildFragments(buildIcmpEcho({ ...PING, payload: bytesOf(2000), id: 3 }), 1500)
    send('wan', pieces[1]!, pieces[0]!)
    const sent = gateway.take().wan.map(({ bytes }) => bytes)
    expect(sent).toEqual(buildFragments(buildIcmpEcho({ ...PONG, payload: bytesOf(2000), id: 3 }), 1500))
    expect(sent.flatMap((bytes) => checkPacket(bytes))).toEqual([])
  })

  it('answers when the way back is known', () => {
    const { gateway, send } = setUp({ neighbours: true })
    send('wan', buildIcmpEcho(PING))
    expect(gateway.take().wan).toEqual([])
    gateway.step({ kind: 'learn' })
    expect(only(gateway.take().wan)).toEqual(buildIcmpEcho(PONG))
    send('wan', buildIcmpEcho({ ...PING, source: '198.51.100.99' }))
    gateway.step({ kind: 'fail' })
    expect(gateway.take()).toEqual({ lan: [], wan: [] })
  })

  it('gives no answer without a way back, nor to its other fragments', () => {
    const { gateway, send } = setUp()
    const pieces = buildFragments(buildIcmpEcho({ ...PING, payload: bytesOf(2000), id: 3 }), 1500)
    send('wan', pieces[0]!)
    expect(gateway.take().wan).toHaveLength(1)
    gateway.step({ kind: 'settings', up: true, mtu: 1500, routed: false })
    send('wan', pieces[1]!, buildIcmpEcho(PING))
    expect(gateway.take()).toEqual({ lan: [], wan: [] })
  })

  it('is silent about everything else, as a closed door', () => {
    const { gateway, send } = setUp()
    const ends = { source: P, destination: E, sourcePort: 9, destinationPort: 80 }
    send('wan', buildTcp({ ...ends, flags: 2 }), buildUdp(ends), buildIcmpEcho({ ...PING, reply: true }), buildIcmpEcho({ ...PING, source: '127.0.0.1' }))
    expect(gateway.take()).toEqual({ lan: [], wan: [] })
  })

  it('serves flows first: a reply to a ping from inside is theirs', () => {
    const { gateway, send } = setUp()
    send('lan', buildIcmpEcho({ source: A, destination: P, identifier: 7 }), buildUdp({ source: A, destination: P, sourcePort: 5, destinationPort: 6 }))
    expect(gateway.take().wan.map(({ bytes }) => from(bytes)).at(-1)).toBe(`${E}:5`)
    send('wan', buildIcmpEcho({ ...PONG, source: P, destination: E }))
    expect(gateway.take().lan).toHaveLength(1)
  })
})
