import { describe, expect, it } from 'vitest'
import { Identifications, OWN_IDENTIFICATION, setIdentification } from '../../src/nat/identification.js'
import { seededRandom } from '../../src/testing/memory-gateway.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildUdp } from '../../src/testing/packets.js'
import { A, AT, bytesOf, E, inSlab, ip, P, Q, taken } from '../stack/support.js'
import { openerOf } from './support.js'

const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }

describe('IPv4 identification', () => {
  it('UPD-10: 65535 IDs in a row towards one destination are all different, and none is 0', () => {
    const identifications = new Identifications(seededRandom(1))
    const seen = new Set<number>()
    for (let count = 0; count < 65535; count++) seen.add(identifications.take(ip(E), ip(P), 17, 1))
    expect(seen.size).toBe(65535)
    expect([Math.min(...seen), Math.max(...seen)]).toEqual([1, 65535])
  })

  it('UPD-10: several at once are consecutive, do not go round the end, and are taken by nobody else', () => {
    const identifications = new Identifications(seededRandom(2))
    const seen = new Set<number>()
    for (let count = 0; count < 1488; count++) {
      const first = identifications.take(ip(E), ip(P), 6, 44)
      for (let index = 0; index < 44; index++) seen.add(first + index)
    }
    expect(seen.size).toBe(1488 * 44)
    expect(Math.min(...seen)).toBeGreaterThan(0)
    expect(Math.max(...seen)).toBeLessThan(65536)
  })

  it('begin elsewhere for each destination, source, protocol and start of the gateway', () => {
    const first = new Set<number>()
    for (let seed = 1; seed <= 20; seed++) {
      const identifications = new Identifications(seededRandom(seed))
      for (const [source, destination, protocol] of [[E, P, 17], [E, Q, 17], [E, P, 1], [A, P, 17]] as const) {
        first.add(identifications.take(ip(source), ip(destination), protocol, 1))
      }
    }
    expect(first.size).toBeGreaterThan(77)
  })

  it('are chosen for packets whose source changes only', () => {
    const { table, open } = openerOf({ ports: [40000] })
    const side = open(buildUdp(UDP))
    const identifications = new Identifications(seededRandom(1))
    const other = new Identifications(seededRandom(1))
    expect(identifications.choose(table, side, 17, 3)).toBe(other.take(ip(E), ip(P), 17, 3))
    expect(identifications.choose(table, side, 17, 1)).toBe(other.take(ip(E), ip(P), 17, 1))
    expect(identifications.choose(table, side ^ 1, 17, 1)).toBe(OWN_IDENTIFICATION)
  })

  it('CSUM-1: the header checksum goes along', () => {
    for (const [id, next] of [[0, 0xffff], [0xffff, 0], [7, 7], [0x1234, 0xfedc]] as const) {
      const bytes = buildUdp({ ...UDP, id, payload: bytesOf(9) })
      const slab = inSlab(bytes)
      setIdentification(slab.view, AT, next)
      const after = taken(slab, bytes.length)
      expect(checkPacket(after)).toEqual([])
      expect(after).toEqual(buildUdp({ ...UDP, id: next, payload: bytesOf(9) }))
    }
  })
})
