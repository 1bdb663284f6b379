import { describe, expect, it } from 'vitest'
import { RecentPeers } from '../src/recent-peers.js'
import { PROTOCOL_ICMP, PROTOCOL_UDP } from '../src/stack/wire/ipv4.js'
import { ip } from './stack/support.js'

const HERE = ip('203.0.113.1')
const THERE = ip('198.51.100.10')
const PORTS = (5000 << 16) | 53

describe('who answers whom', () => {
  it('what comes back is an answer, and what goes back is one', () => {
    const peers = new RecentPeers(7)
    expect(peers.isAnswer(HERE, THERE, PORTS, PROTOCOL_UDP, 1000)).toBe(false)
    expect(peers.sent(HERE, THERE, PORTS, PROTOCOL_UDP, 1000)).toBe(false)
    expect(peers.isAnswer(HERE, THERE, PORTS, PROTOCOL_UDP, 1000)).toBe(true)
    expect(peers.sent(HERE, THERE, PORTS, PROTOCOL_UDP, 1000)).toBe(false)
    peers.received(HERE, THERE, PORTS, PROTOCOL_UDP, 1001)
    expect(peers.sent(HERE, THERE, PORTS, PROTOCOL_UDP, 1001)).toBe(true)
  })

  it('all of both ends counts', () => {
    const peers = new RecentPeers(7)
    peers.sent(HERE, THERE, PORTS, PROTOCOL_UDP, 0)
    const asked = [
      [ip('203.0.113.2'), THERE, PORTS, PROTOCOL_UDP], [HERE, ip('198.51.100.11'), PORTS, PROTOCOL_UDP], [HERE, THERE, PORTS + 1, PROTOCOL_UDP], [HERE, THERE, PORTS, PROTOCOL_ICMP],
      [THERE, HERE, PORTS, PROTOCOL_UDP],
    ] as const
    expect(asked.map(([local, remote, ports, protocol]) => peers.isAnswer(local, remote, ports, protocol, 0))).toEqual(asked.map(() => false))
    expect(peers.isAnswer(HERE, THERE, PORTS, PROTOCOL_UDP, 0)).toBe(true)
  })

  it('two minutes of silence are forgotten, each direction by itself, whatever the clock began with', () => {
    for (const start of [0, 50, 1_000_000]) {
      const peers = new RecentPeers(start)
      peers.sent(HERE, THERE, PORTS, PROTOCOL_UDP, start)
      expect([119, 120].map((later) => peers.isAnswer(HERE, THERE, PORTS, PROTOCOL_UDP, start + later))).toEqual([true, false])
      expect(peers.sent(HERE, THERE, PORTS, PROTOCOL_UDP, start + 100)).toBe(false)
      peers.received(HERE, THERE, PORTS, PROTOCOL_UDP, start + 100)
      expect(peers.isAnswer(HERE, THERE, PORTS, PROTOCOL_UDP, start + 219)).toBe(true)
      expect(peers.isAnswer(HERE, THERE, PORTS, PROTOCOL_UDP, start + 221)).toBe(false)
    }
  })

  it('questions of strangers push nobody out; many others do, and are told from whoever was there', () => {
    const peers = new RecentPeers(7)
    peers.sent(HERE, THERE, PORTS, PROTOCOL_UDP, 0)
    for (let port = 0; port < 65_536; port++) expect(peers.isAnswer(HERE, THERE, (6000 << 16) | port, PROTOCOL_UDP, 0)).toBe(false)
    expect(peers.isAnswer(HERE, THERE, PORTS, PROTOCOL_UDP, 0)).toBe(true)
    for (let port = 0; port < 65_536; port++) peers.received(HERE, THERE, (6000 << 16) | port, PROTOCOL_UDP, 0)
    expect(peers.isAnswer(HERE, THERE, PORTS, PROTOCOL_UDP, 0)).toBe(false)
    expect(peers.sent(HERE, THERE, (6000 << 16) | 65_535, PROTOCOL_UDP, 0)).toBe(true)
  })
})
