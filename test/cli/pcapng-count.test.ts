import { describe, expect, it } from 'vitest'
import { createPcapngCounter } from '../../src/cli/pcapng-count.js'
import { enhancedPacket, interfaceDescription, interfaceStatistics, LINKTYPE_IPV4, sectionHeader } from '../../src/stack/wire/pcapng.js'

const packet = (length: number, dropped = 0): Uint8Array =>
  enhancedPacket({ interfaceId: 0, timestamp: 1, originalLength: length, bytes: new Uint8Array(length).fill(6), direction: 'in', dropped })

describe('createPcapngCounter', () => {
  const stream = Buffer.concat([
    sectionHeader({ hardware: 'x64', os: 'Linux', application: 'test' }),
    interfaceDescription({ name: 'tun0', linkType: LINKTYPE_IPV4, snapLength: 65535 }),
    packet(20),
    packet(61, 3),
    packet(1500, 4),
  ])
  const statistics = interfaceStatistics({ interfaceId: 0, timestamp: 2, received: 12, dropped: 9 })

  it.each([1, 7, 64, 1 << 16])('counts, whatever the pieces: %d bytes', (size) => {
    const counter = createPcapngCounter()
    for (let at = 0; at < stream.length; at += size) counter.feed(stream.subarray(at, at + size))
    expect({ packets: counter.packets, missed: counter.missed }).toEqual({ packets: 3, missed: 7 })
    for (let at = 0; at < statistics.length; at += size) counter.feed(statistics.subarray(at, at + size))
    expect({ packets: counter.packets, missed: counter.missed }).toEqual({ packets: 3, missed: 9 })
  })

  it('does not count a packet that is not whole', () => {
    const counter = createPcapngCounter()
    counter.feed(stream.subarray(0, stream.length - 1))
    expect(counter.packets).toBe(2)
  })
})
