import { describe, expect, it } from 'vitest'
import { Drop } from '../../src/drop.js'
import { ADDRESS_DEPENDENT, ENDPOINT_INDEPENDENT } from '../../src/nat/behaviour.js'
import { SIDE_DESTINATION, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from '../../src/nat/flow-table.js'
import { EVENT_REPLIED } from '../../src/nat/flow-table.js'
import { buildUdp } from '../../src/testing/packets.js'
import { A, B, E, ip, P, parsed, Q } from '../stack/support.js'
import { openerOf } from './support.js'

const E2 = '203.0.113.2'
const UDP = 17
const ALL_PORTS = Array.from({ length: 65535 }, (_, index) => index + 1)
const udp = (source: string, destination: string, destinationPort = 53, sourcePort = 5000): Uint8Array =>
  buildUdp({ source, destination, sourcePort, destinationPort })

const setUp = (filtering = ENDPOINT_INDEPENDENT, mapping = ENDPOINT_INDEPENDENT, capacity = 100) => {
  const made = openerOf({ ports: ALL_PORTS, capacity, behaviour: mapping | (filtering << 2) })
  const enter = (source: string, sourcePort: number, port: number): number => {
    const { packet } = parsed(buildUdp({ source, destination: E, sourcePort, destinationPort: port }))
    const sibling = made.mappings.findOutside(ip(E), port, UDP)
    const at = made.mappings.insideSide(sibling) * SIDE_WORDS
    const rewrite = {
      egress: 0, source: packet.source, destination: made.table.sides[at + SIDE_SOURCE]!, destinationPort: made.table.sides[at + SIDE_PORTS]! >>> 16,
    }
    return made.opener.openFromOutside(packet, 1, rewrite, sibling, 0)
  }
  const close = (side: number): void => made.table.close(side >> 1)
  const owner = (port: number): number => made.mappings.findOutside(ip(E), port, UDP)
  return { ...made, enter, close, owner }
}

describe('mappings', () => {
  it('have another head when theirs ends: one from inside as long as there is one', () => {
    const { open, enter, close, owner, mappings } = setUp()
    const sides = [P, Q, '192.0.2.1'].map((remote) => open(udp(A, remote)))
    const stranger = enter('192.0.2.9', 7, 5000)
    for (const side of [...sides]) {
      expect(sides.map((one) => one >> 1)).toContain(owner(5000))
      close(side)
      sides.shift()
    }
    expect(owner(5000)).toBe(-1)
    expect(mappings.countEntries()).toBe(0)
    expect(stranger).toBeGreaterThan(0)
  })

  it('the head may end, or any other, in whatever order', () => {
    const remotes = [P, Q, '192.0.2.1']
    for (const order of [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]) {
      const { open, close, owner, mappings } = setUp(ADDRESS_DEPENDENT)
      const sides = remotes.map((remote) => open(udp(A, remote)))
      for (const [step, index] of order.entries()) {
        const admitted = remotes.map((remote) => mappings.admits(owner(5000), ip(remote)))
        expect(admitted).toEqual(remotes.map((_, other) => order.indexOf(other) >= step))
        expect(mappings.findInside(ip(A), ip('192.0.2.200'), 5000 << 16, UDP, ENDPOINT_INDEPENDENT)).toBe(owner(5000))
        close(sides[index]!)
      }
      expect([owner(5000), mappings.countEntries()]).toEqual([-1, 0])
    }
  })

  it('end with their last flow from inside; who waits for an answer ends before', () => {
    const { table, open, enter, close, owner, mappings } = setUp()
    const closed: number[] = []
    const { onClose } = table
    table.onClose = (flow) => {
      closed.push(flow)
      onClose(flow)
    }
    const side = open(udp(A, P))
    const waiting = [1, 2, 3].map((port) => enter(Q, port, 5000))
    expect(table.count).toBe(4)
    close(side)
    expect([table.count, owner(5000), mappings.countEntries()]).toEqual([0, -1, 0])
    expect(closed.sort()).toEqual([side, ...waiting].map((one) => one >> 1).sort())
    expect([side, ...waiting].some((one) => table.isLive(one >> 1))).toBe(false)
  })

  it('go on with a stranger that the inside has answered', () => {
    const { table, open, enter, close, owner, externalPort } = setUp()
    const side = open(udp(A, P))
    const [, answered] = [1, 2, 3].map((port) => enter(Q, port, 5000)) as [number, number, number]
    table.setEvents(answered >> 1, EVENT_REPLIED)
    close(side)
    expect(owner(5000)).toBe(answered >> 1)
    expect(table.count).toBe(3)
    expect(externalPort(open(udp(A, P)))).toBe(5000)
    close(answered)
    expect(owner(5000)).toBeGreaterThanOrEqual(0)
  })

  it('address dependent: a stranger that was answered does not make the mapping his', () => {
    const { table, open, enter, close, owner, externalPort } = setUp(ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT)
    const side = open(udp(A, P))
    const stranger = enter(Q, 1, 5000)
    table.setEvents(stranger >> 1, EVENT_REPLIED)
    close(side)
    expect(owner(5000)).toBe(stranger >> 1)
    // The port is still taken.
    for (const remote of [P, Q]) expect(externalPort(open(udp(A, remote, 99)))).not.toBe(5000)
  })

  it('address dependent: nor does he while the inside has another flow to its remote', () => {
    const { table, open, enter, close, externalPort } = setUp(ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT)
    const [first] = [53, 54].map((port) => open(udp(A, P, port))) as [number, number]
    table.setEvents(enter(Q, 1, 5000) >> 1, EVENT_REPLIED)
    close(first)
    expect(externalPort(open(udp(A, P, 55)))).toBe(5000)
    expect(externalPort(open(udp(A, Q, 55)))).not.toBe(5000)
  })

  it('filter by address: an answered stranger counts, whoever waits beside him', () => {
    const { table, open, enter, close, owner, mappings } = setUp(ADDRESS_DEPENDENT)
    const [first] = [P, Q].map((remote) => open(udp(A, remote))) as [number, number]
    const [waiting, answered] = [1, 2, 3].map((port) => enter(P, port, 5000)) as [number, number, number]
    table.setEvents(answered >> 1, EVENT_REPLIED)
    close(first)
    expect(mappings.admits(owner(5000), ip(P))).toBe(true)
    close(answered)
    expect(mappings.admits(owner(5000), ip(P))).toBe(false)
    // Not even when one of those left is answered now; but when the inside sends there.
    table.setEvents(waiting >> 1, EVENT_REPLIED)
    expect(mappings.admits(owner(5000), ip(P))).toBe(false)
    open(udp(A, P, 77))
    expect(mappings.admits(owner(5000), ip(P))).toBe(true)
  })

  it('keep their address, whatever source a route has', () => {
    const { table, open, externalPort } = setUp()
    open(udp(A, P))
    const side = open(udp(A, Q), 0, E2)
    expect([table.sides[(side ^ 1) * SIDE_WORDS + SIDE_DESTINATION], externalPort(side)]).toEqual([ip(E), 5000])
    // The same port of the other address is free.
    const other = open(udp(B, Q), 0, E2)
    expect([table.sides[(other ^ 1) * SIDE_WORDS + SIDE_DESTINATION], externalPort(other)]).toEqual([ip(E2), 5000])
  })

  it('never put two flows under one key', () => {
    const { table, open, opener } = setUp()
    open(udp(A, P))
    // Somebody else's flow where the answers of A's next one would arrive.
    const { packet } = parsed(buildUdp({ source: Q, destination: E, sourcePort: 53, destinationPort: 5000 }))
    expect(opener.openFromOutside(packet, 1, { egress: 0, source: packet.source, destination: ip(B), destinationPort: 1 }, -1, 0)).toBeGreaterThan(0)
    expect(open(udp(A, Q))).toBe(-Drop['ports-exhausted'])
    expect(open(udp(A, Q, 54))).toBeGreaterThan(0)
    expect(table.count).toBe(3)
  })

  it('are not for flows that share ports', () => {
    const { table, mappings, open } = openerOf({ ports: ALL_PORTS })
    const side = open(udp(A, P))
    expect(mappings.findOutside(ip(E), 5000, UDP)).toBe(-1)
    expect(mappings.remove(side >> 1)).toBe(false)
    table.close(side >> 1)
    expect(mappings.countEntries()).toBe(0)
  })
})
