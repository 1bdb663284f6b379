import { describe, expect, it } from 'vitest'
import { ARP_REGION, ArpEndpoint, type ArpLink } from '../../src/stack/arp-endpoint.js'
import { createSlab } from '../../src/stack/batch.js'
import * as arp from '../../src/stack/wire/arp.js'
import { E, ip, P, Q } from './support.js'

const OWN = { high: 0x0200, low: 0x0000_0001 }
const PEER = { high: 0x0242, low: 0xac11_0002 | 0 }
const SECOND = '203.0.113.2'

const setUp = (addresses = [ip(E), ip(SECOND)]) => {
  const slab = createSlab(8192)
  slab.bytes.fill(0xa5)
  const frames: Buffer[] = []
  const heard: string[] = []
  const link: ArpLink = {
    arp: null,
    sendFrames: (_, batch) => {
      for (let index = 0; index < batch.count; index++) frames.push(Buffer.from(slab.bytes.slice(batch.at[index]! - 14, batch.at[index]! + batch.length[index]!)))
      batch.clear()
    },
  }
  const region = { start: 4096, end: 4096 + ARP_REGION }
  const endpoint = new ArpEndpoint(slab, region, link, OWN, addresses, {
    onNeighbour: (address, high, low) => heard.push(`${(address >>> 0).toString(16)} ${high.toString(16)} ${(low >>> 0).toString(16)}`),
    onSilence: (address) => heard.push(`${(address >>> 0).toString(16)} silent`),
  })
  const receive = (operation: number, sender: number, target: number, mac = PEER): void => {
    arp.write(slab.view, 1024, operation, mac.high, mac.low, sender, OWN.high, OWN.low, target)
    link.arp!.receiveArp(slab, 1024, arp.LENGTH)
  }
  const sent = (): string[] => frames.splice(0).map((frame) => frame.toString('hex'))
  const untouched = (): boolean => slab.bytes.subarray(0, 1024).every((byte) => byte === 0xa5) && slab.bytes.subarray(4096 + ARP_REGION).every((byte) => byte === 0xa5)
  return { slab, endpoint, receive, sent, heard, untouched }
}
const ETHERNET_FROM_OWN = '020000000001' + '0806'
const HEAD = '0001' + '0800' + '06' + '04'
const hex = (text: string): string => (ip(text) >>> 0).toString(16).padStart(8, '0')

describe('ARP endpoint', () => {
  it('answers who asks for one of its addresses', () => {
    const { receive, sent, untouched } = setUp()
    receive(arp.REQUEST, ip(P), ip(E))
    expect(sent()).toEqual([`0242ac110002${ETHERNET_FROM_OWN}${HEAD}0002020000000001${hex(E)}0242ac110002${hex(P)}`])
    receive(arp.REQUEST, ip(P), ip(SECOND))
    expect(sent()).toHaveLength(1)
    receive(arp.REQUEST, ip(P), ip(Q))
    receive(arp.REPLY, ip(P), ip(E))
    expect(sent()).toEqual([])
    expect(untouched()).toBe(true)
  })

  it('answers a probe, which has no sender address (RFC 5227), and not an announcement of its own address', () => {
    const { receive, sent } = setUp()
    receive(arp.REQUEST, 0, ip(E))
    expect(sent()).toHaveLength(1)
    receive(arp.REQUEST, ip(E), ip(E))
    expect(sent()).toEqual([])
  })

  it('announces each address', () => {
    const { endpoint, sent } = setUp()
    endpoint.announce()
    expect(sent()).toEqual([E, SECOND].map((own) => `ffffffffffff${ETHERNET_FROM_OWN}${HEAD}0001020000000001${hex(own)}000000000000${hex(own)}`))
  })

  it('asks at once, again each second, three times in all, then gives up', () => {
    const { endpoint, sent, heard } = setUp()
    const question = `ffffffffffff${ETHERNET_FROM_OWN}${HEAD}0001020000000001${hex(E)}000000000000${hex(P)}`
    endpoint.ask(ip(P), 1000)
    expect(sent()).toEqual([question])
    endpoint.ask(ip(P), 1500)
    endpoint.tick(1999)
    expect(sent()).toEqual([])
    endpoint.tick(2000)
    endpoint.tick(3000)
    expect(sent()).toEqual([question, question])
    endpoint.tick(3999)
    expect(heard).toEqual([])
    endpoint.tick(4000)
    expect(heard).toEqual([`${hex(P)} silent`])
    endpoint.tick(9000)
    expect(sent()).toEqual([])
  })

  it('asks nothing but the question when asked, however much else is due', () => {
    const { endpoint, sent, heard } = setUp()
    endpoint.ask(ip(P), 0)
    endpoint.tick(1000)
    endpoint.tick(2000)
    sent()
    endpoint.ask(ip(Q), 60_000)
    expect(sent()).toHaveLength(1)
    expect(heard).toEqual([])
    endpoint.tick(60_000)
    expect(heard).toEqual([`${hex(P)} silent`])
  })

  it('asks those it has found again each half minute, to notice that they are gone or another', () => {
    const { endpoint, receive, sent, heard } = setUp()
    endpoint.ask(ip(P), 0)
    receive(arp.REPLY, ip(P), ip(E))
    receive(arp.REPLY, ip(Q), ip(E))
    expect([sent().length, heard.splice(0).length]).toEqual([1, 2])
    endpoint.tick(29_999)
    expect(sent()).toEqual([])
    endpoint.tick(30_000)
    expect(sent()).toHaveLength(1)
    endpoint.tick(30_500)
    receive(arp.REPLY, ip(P), ip(E), { high: 0x0242, low: 7 })
    expect(heard.splice(0)).toEqual([`${hex(P)} 242 7`])
    endpoint.tick(60_499)
    expect(sent()).toEqual([])
    for (const now of [60_500, 61_500, 62_500, 63_500]) endpoint.tick(now)
    expect(sent()).toHaveLength(3)
    expect(heard.splice(0)).toEqual([`${hex(P)} silent`])
    for (const now of [90_000, 120_000]) endpoint.tick(now)
    expect(sent()).toEqual([])
  })

  it('learns from replies and requests, asked for or not', () => {
    const { endpoint, receive, sent, heard } = setUp()
    receive(arp.REPLY, ip(P), ip(E))
    expect(heard.splice(0)).toEqual([`${hex(P)} 242 ac110002`])
    receive(arp.REQUEST, ip(P), ip(Q))
    expect(heard.splice(0)).toEqual([`${hex(P)} 242 ac110002`])
    endpoint.ask(ip(P), 0)
    sent()
    receive(arp.REQUEST, ip(P), ip(Q))
    expect(heard).toEqual([`${hex(P)} 242 ac110002`])
  })

  it('asks from 0.0.0.0 as long as it has no address', () => {
    const { endpoint, sent } = setUp([])
    endpoint.ask(ip(P), 0)
    expect(sent()[0]!.slice(28 + 28, 28 + 36)).toBe('00000000')
  })

  it('ignores what is no ARP for IPv4 over Ethernet', () => {
    const { slab, endpoint, sent, heard } = setUp()
    arp.write(slab.view, 1024, arp.REQUEST, PEER.high, PEER.low, ip(P), 0, 0, ip(E))
    endpoint.receiveArp(slab, 1024, arp.LENGTH - 1)
    slab.view.setUint16(1024, 6)
    endpoint.receiveArp(slab, 1024, arp.LENGTH)
    expect([...sent(), ...heard]).toEqual([])
  })
})
