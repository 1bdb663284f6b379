import { describe, expect, it } from 'vitest'
import { parse, Packet } from '../../src/stack/parse.js'
import { isSumRight } from '../../src/stack/verify.js'
import { createSlab } from '../../src/stack/batch.js'
import { checkPacket, describePacket } from '../../src/testing/index.js'
import { readQuestion, type TraceWords } from '../../src/api/trace-request.js'
import { buildPacket, lengthMin } from '../../src/trace/build-packet.js'

const AT = 128
const build = (words: TraceWords): Uint8Array => buildPacket(readQuestion({ src: '10.77.0.2', dst: '198.51.100.10', ...words }).packet)

describe('a described packet', () => {
  it.each<[TraceWords, string]>([
    [{}, 'ICMP 8/0 id 40000 seq 0 length 0, ttl 64 id 0 DF'],
    [{ icmpType: 'timestamp-request', ttl: '1' }, 'ICMP 13/0 id 40000 seq 0 length 0, ttl 1 id 0 DF'],
    [{ dport: '443' }, '10.77.0.2:40000 > 198.51.100.10:443 TCP SYN seq 0 ack 0 win 65535 length 0'],
    [{ protocol: 'tcp', dport: '443', sport: '0x1000', flags: 'ack,psh', length: '1500', tos: '0x10' }, '10.77.0.2:4096 > 198.51.100.10:443 TCP PSH ACK seq 0 ack 0 win 65535 length 1460'],
    [{ protocol: 'udp', dport: '53', length: '100' }, 'UDP length 72'],
    [{ protocol: 'sctp', dport: '80' }, '10.77.0.2:40000 > 198.51.100.10:80 protocol 132'],
    [{ protocol: 'udplite', dport: '80' }, '10.77.0.2:40000 > 198.51.100.10:80 protocol 136'],
    [{ protocol: 'gre' }, 'protocol 47 length 4'],
    [{ protocol: 'esp' }, 'protocol 50 length 8'],
    [{ protocol: '89' }, 'protocol 89 length 0'],
  ])('is as a host sends it: %j', (words, text) => {
    const bytes = build(words)
    expect(describePacket(bytes)).toContain(text)
    checkPacket(bytes)
    const slab = createSlab(4096)
    slab.bytes.set(bytes, AT)
    const packet = new Packet()
    expect(parse(slab.view, AT, bytes.length, packet)).toBe(0)
    expect(isSumRight(slab, packet)).toBe(true)
  })

  it('is refused when it is shorter than its headers', () => {
    const { packet } = readQuestion({ src: '10.77.0.2', dst: '198.51.100.10', dport: '80' })
    expect(lengthMin(packet)).toBe(44)
    expect(() => buildPacket({ ...packet, length: 43 })).toThrow('43 bytes are fewer than 44')
  })
})
