import { describe, expect, it } from 'vitest'
import * as tcp from '../../src/stack/wire/tcp.js'
import { describePacket } from '../../src/testing/describe-packet.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildIpv4, buildTcp, buildUdp } from '../../src/testing/packets.js'

const FLOW = { source: '10.0.0.2', destination: '198.51.100.10', sourcePort: 5000, destinationPort: 80 }

describe('packet as text', () => {
  it.each([
    [
      buildTcp({ ...FLOW, flags: tcp.SYN | tcp.ACK, sequence: -1, acknowledgment: 7, window: 100, df: true, payload: new Uint8Array(3) }),
      '10.0.0.2:5000 > 198.51.100.10:80 TCP SYN ACK seq 4294967295 ack 7 win 100 length 3, ttl 64 id 0 DF',
    ],
    [buildTcp({ ...FLOW, flags: 0 }), '10.0.0.2:5000 > 198.51.100.10:80 TCP no flags seq 0 ack 0 win 65535 length 0, ttl 64 id 0'],
    [buildUdp({ ...FLOW, id: 9, ttl: 1, payload: new Uint8Array(5) }), '10.0.0.2:5000 > 198.51.100.10:80 UDP length 5, ttl 1 id 9'],
    [
      buildIcmpEcho({ ...FLOW, identifier: 3, sequence: 4, payload: new Uint8Array(2) }),
      '10.0.0.2 > 198.51.100.10 ICMP 8/0 id 3 seq 4 length 2, ttl 64 id 0',
    ],
    [
      buildIcmpError({ source: '192.0.2.1', destination: '10.0.0.2', type: 3, code: 4, mtu: 1400, quote: buildUdp(FLOW) }),
      '192.0.2.1 > 10.0.0.2 ICMP 3/4 mtu 1400 about {10.0.0.2:5000 > 198.51.100.10:80 UDP length 0, ttl 64 id 0}, ttl 64 id 0',
    ],
    [
      buildIcmpError({ source: '192.0.2.1', destination: '10.0.0.2', type: 11, code: 0, quote: buildTcp(FLOW), quoteLength: 28 }),
      '192.0.2.1 > 10.0.0.2 ICMP 11/0 about {10.0.0.2:5000 > 198.51.100.10:80 protocol 6 length 8, ttl 64 id 0 (28 of 40 bytes)}, ttl 64 id 0',
    ],
    [
      buildFragments(buildUdp({ ...FLOW, id: 7, payload: new Uint8Array(100) }), 68)[1]!,
      '10.0.0.2 > 198.51.100.10 protocol 17 fragment, ttl 64 id 7 MF offset 48',
    ],
    [buildIpv4({ ...FLOW, protocol: 47, payload: new Uint8Array(4) }), '10.0.0.2 > 198.51.100.10 protocol 47 length 4, ttl 64 id 0'],
    [new Uint8Array(3), '3 bytes, no IPv4 header'],
  ])('%#', (packet, text) => {
    expect(describePacket(packet)).toBe(text)
  })

  it('survives any bytes', () => {
    for (let value = 0; value < 256; value++) {
      for (let length = 0; length < 80; length++) expect(describePacket(new Uint8Array(length).fill(value))).not.toBe('')
    }
  })
})
